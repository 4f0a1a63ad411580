"""Opening an engine by its name; its libraries are imported only then."""

from __future__ import annotations

from pathlib import Path

from lakekit.engine import Engine
from lakekit.errors import LakeRefused
from lakekit.lake import Lake
from lakekit.tables import TableSet

ENGINES = ("embedded", "spark")


def open_engine(
    name: str, lake: Lake, tables: TableSet, scratch: Path, *, memory: str = ""
) -> Engine:
    """The engine of that name for one lake. Raises MissingExtra, and LakeRefused for a
    lake it cannot keep.
    """
    if name == "embedded":
        if lake.kind == "schema":
            raise LakeRefused(
                f"The lake {lake} is a schema, which Spark knows by name",
                "Add --engine spark.",
            )
        from lakekit.embedded import EmbeddedEngine

        return EmbeddedEngine(lake, tables, scratch, memory)
    from lakekit.spark import SparkEngine

    return SparkEngine(lake, tables, scratch)
