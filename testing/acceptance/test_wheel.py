"""Tests the built wheel without the repository. With only the wheel and its locked
dependencies, a new project must run with both engines and give equal tables.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from testing.acceptance.conftest import Checkout

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_alone_makes_a_project_and_runs_it_on_both_engines(
    original: Checkout, tmp_path: Path
) -> None:
    # The session of this name downloads and checks the locked jars.
    ran = original.nox(
        "-s", "tests-3.11(java17)", "--", "testing/unit/lakekit/engines/test_retries.py"
    )
    assert ran.rows("tests-3.11-java17")["jars"] == "success", ran.output
    [jars] = [
        each for each in (original.root / ".cache" / "jars").iterdir() if each.is_dir()
    ]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    build = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, env=environment)
    [wheel] = tmp_path.glob("lakekit-*.whl")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "try_wheel.py"),
        "--wheel",
        str(wheel),
        "--jars",
        str(jars),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No difference." in done.stdout
    assert done.stdout.count("4 of 4 tables written") == 2
