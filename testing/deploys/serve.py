"""The emulator with clusters that hold Python alone: all is executed for real, and
there is no Spark to wait for.

python -m testing.deploys.serve --state FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from workspace_emulator.runtime import release

# Before the server takes its default from there.
release.LOCK = Path(__file__).with_name("cluster.txt")

from workspace_emulator.__main__ import main  # noqa: E402 - see above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
