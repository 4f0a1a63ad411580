"""Runs a lake in a container, and compares its rows with the reference lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.images.containers import (
    CONFINED,
    OFFLINE,
    RUN_SECONDS,
    TMPFS,
    Completed,
    Engine,
)
from testing.images.reference_lake import SAMPLE, ReferenceLake

# The only name that can be resolved without a network; a pod can also resolve its own
# name.
NAMED = "--hostname=localhost"


@dataclass
class Batch:
    """One run of the image under test on the sample."""

    engine: Engine
    reference: ReferenceLake
    folder: Path
    container: str = ""

    def run(self, engine_name: str, *options: str) -> Completed:
        """Run the lake, and store it in a volume."""
        __tracebackhide__ = True
        # The container has the name of the volume, because the engine has separate
        # names for volumes and containers.
        self.container = self.engine.volume()
        start = (
            "run",
            f"--name={self.container}",
            *self.engine.labels,
            *CONFINED,
            OFFLINE,
            NAMED,
            TMPFS,
            f"--volume={SAMPLE}:/source:ro",
            f"--volume={self.container}:/lake",
            *options,
            self.engine.image,
        )
        lakes = ("--source", "/source", "--lake", "/lake")
        command = ("run", "--engine", engine_name, *lakes, "--json")
        return self.engine.ask(*start, *command, seconds=RUN_SECONDS)

    def diff(self) -> Completed:
        """Run `lakekit diff` on the reference lake and the container's lake."""
        __tracebackhide__ = True
        inside = self.folder / "inside"
        self.engine.answer("cp", f"{self.container}:/lake/.", str(inside))
        outside = self.reference.make()
        return self.reference.run("diff", str(outside), str(inside), "--json")


def different(diff: dict[str, Any]) -> str:
    """Summarize the tables in which two lakes differ."""
    rows = [
        each
        for each in diff["tables"]
        if any(each[what] for what in ("only_a", "only_b", "changed", "shape"))
    ]
    return "; ".join(
        f"{each['table']}: {each['only_a']} missing, {each['only_b']} more,"
        f" {each['changed']} changed"
        for each in rows
    )
