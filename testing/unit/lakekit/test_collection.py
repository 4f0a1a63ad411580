"""Tests that pytest can collect the tests without importing Spark, so that a few
selected tests start quickly.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = [
    "testing/unit/lakekit",
    "testing/unit/lakekit_api",
    "testing/integration/lakekit",
]
# In this program, `import pyspark` raises an error. If a test module imports Spark,
# pytest therefore reports that it cannot collect the module.
COLLECT = """
import sys
sys.modules["pyspark"] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_collection_imports_no_pyspark() -> None:
    command = [sys.executable, "-c", COLLECT, *FOLDERS]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert re.findall(r"^ERROR (\S+)", done.stdout, re.MULTILINE) == []
    assert done.returncode == 0, done.stdout + done.stderr
