"""Runs the emulator with clusters that have only Python, without Spark. Tasks really
run, but need not wait for the start of Spark.

    python -m testing.deploys.serve --state FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from workspace_emulator.runtime import release

# Set LOCK before the server is imported, because the import uses the value of LOCK.
release.LOCK = Path(__file__).with_name("cluster.txt")

from workspace_emulator.__main__ import main  # noqa: E402 - see above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
