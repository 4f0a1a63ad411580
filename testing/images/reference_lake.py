"""The reference lake of the sample, which the checkout's lakekit creates outside any
image. The results of the images are compared with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lake_ci.system.file_lock import locked
from testing.images.containers import RUN_SECONDS, Completed, reason

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "testing/data"


def lakekit(*arguments: str) -> Completed:
    """Run a command of the checkout's lakekit."""
    return subprocess.run(
        [sys.executable, "-m", "lakekit", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "utils")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )


@dataclass(frozen=True)
class ReferenceLake:
    """The lake, created once for the tests of all images.

    Attributes:
        folder: the path of the lake, which may not exist yet.
        run: the function that runs lakekit.
    """

    folder: Path
    run: Callable[..., Completed] = lakekit

    def make(self) -> Path:
        """Create the lake and return its folder. Any user can read the lake, because
        the user of an image is unknown on this machine.
        """
        __tracebackhide__ = True
        # The tests of other images run at the same time, in other processes.
        with locked(self.folder.with_suffix(".lock")):
            if not self.folder.exists():
                part = self.folder.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                done = self.run("run", "--source", str(SAMPLE), "--lake", str(part))
                if done.returncode != 0:
                    pytest.fail(reason("lakekit run outside the image", done))
                for path in [part, *part.rglob("*")]:
                    mode = 0o555 if path.is_dir() else 0o444
                    path.chmod(path.stat().st_mode | mode)
                part.rename(self.folder)
        return self.folder

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table, as in JSON."""
        __tracebackhide__ = True
        lake = str(self.make())
        done = self.run("show", table, "--lake", lake, "--limit=1000", "--json")
        if done.returncode != 0:
            pytest.fail(reason(f"lakekit show {table}", done))
        rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
        return rows
