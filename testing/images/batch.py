"""A run of the lake in a container, and its rows compared with those outside."""

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

# The one name that can be looked up without a network; a pod can look up its own, too.
NAMED = "--hostname=localhost"


@dataclass
class Batch:
    """One run of the image under test on the sample."""

    engine: Engine
    reference: ReferenceLake
    folder: Path
    container: str = ""

    def run(self, engine_name: str, *options: str) -> Completed:
        """Run the lake, and keep it in a volume."""
        __tracebackhide__ = True
        # One name for both: the engine keeps volumes and containers apart.
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
        """`lakekit diff` of the lake outside and the one that the container made."""
        __tracebackhide__ = True
        inside = self.folder / "inside"
        self.engine.answer("cp", f"{self.container}:/lake/.", str(inside))
        outside = self.reference.make()
        return self.reference.run("diff", str(outside), str(inside), "--json")


def different(diff: dict[str, Any]) -> str:
    """The tables in which two lakes differ, in a few words."""
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
