"""Creates the reference lake from the sample, with the checkout's lakekit and without
an image. Tests compare the lakes of the images with the reference lake.
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
    """The reference lake, which is created only once for the tests of all images.

    Attributes:
        folder: the path of the lake, which may not exist yet.
        run: the function that runs lakekit.
    """

    folder: Path
    run: Callable[..., Completed] = lakekit

    def make(self) -> Path:
        """Create the lake and return its folder. Every user can read the lake, because
        this machine does not know the users of the images.
        """
        __tracebackhide__ = True
        # At the same time, the tests of a different image may create the lake in their
        # process.
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
        """Return the rows of a table, converted to JSON types."""
        __tracebackhide__ = True
        lake = str(self.make())
        done = self.run("show", table, "--lake", lake, "--limit=1000", "--json")
        if done.returncode != 0:
            pytest.fail(reason(f"lakekit show {table}", done))
        rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
        return rows
