"""The sample's lake, made by the checkout's own lakekit on this machine: what the
images' results are held against.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from lake_ci.errors import LakeCiError
from lake_ci.runner.check import Workbench
from lake_ci.system.processes import Completed

SAMPLE = "testing/data"


def lakekit(bench: Workbench, *arguments: str) -> Completed:
    """Run a command of the checkout's own lakekit."""
    env = {**bench.env, "PYTHONPATH": str(bench.root / "utils")}
    return bench.execute([str(bench.python), "-m", "lakekit", *arguments], env=env)


class Outside:
    """The lake of the sample; made by the first that asks, for all of them.

    Args:
        folder: where it is made; not there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def lake(self, bench: Workbench) -> Path:
        """Its folder, which any user may read: an image's is none of this machine.
        Raises LakeCiError.
        """
        with self._lock:
            if not self._folder.exists():
                made = lakekit(
                    bench, "run", "--source", SAMPLE, "--lake", str(self._folder)
                )
                if made.code != 0:
                    message = f"lakekit run outside the image exited with {made.code}"
                    raise LakeCiError(f"{message}\n{made.last_lines()}")
                for path in [self._folder, *self._folder.rglob("*")]:
                    path.chmod(
                        path.stat().st_mode | (0o555 if path.is_dir() else 0o444)
                    )
            return self._folder

    def rows(self, table: str, bench: Workbench) -> list[dict[str, Any]]:
        """The rows of a table, as JSON has them. Raises LakeCiError."""
        shown = lakekit(
            bench,
            "show",
            table,
            "--lake",
            str(self.lake(bench)),
            "--limit=1000",
            "--json",
        )
        if shown.code != 0:
            raise LakeCiError(
                f"lakekit show {table} exited with {shown.code}\n{shown.last_lines()}"
            )
        rows: list[dict[str, Any]] = json.loads(shown.stdout)["rows"]
        return rows
