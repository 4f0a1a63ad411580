"""Runs lakekit in a container, and compares the lake's rows with the reference lake."""

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

# A pod can resolve its own host name. Without a network, a container can resolve only
# `localhost`.
NAMED = "--hostname=localhost"


@dataclass
class Batch:
    """One run of the image under test on the sample."""

    engine: Engine
    reference: ReferenceLake
    folder: Path
    container: str = ""

    def run(self, engine_name: str, *options: str) -> Completed:
        """Run lakekit in a container that stores the lake in a volume."""
        __tracebackhide__ = True
        # The container gets the same name as its volume. The engine allows this.
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
        """Run `lakekit diff` on the reference lake and the lake of the container."""
        __tracebackhide__ = True
        inside = self.folder / "inside"
        self.engine.answer("cp", f"{self.container}:/lake/.", str(inside))
        outside = self.reference.make()
        return self.reference.run("diff", str(outside), str(inside), "--json")


def different(diff: dict[str, Any]) -> str:
    """Return a summary of the tables that differ between two lakes."""
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
