"""Runs the emulator with clusters that have only Python. Tasks really run, but do not
wait for Spark.

    python -m testing.deploys.serve --state FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from workspace_emulator.runtime import release

# Set LOCK before the import below, because the server uses its value during the import.
release.LOCK = Path(__file__).with_name("cluster.txt")

from workspace_emulator.__main__ import main  # noqa: E402 - see above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
