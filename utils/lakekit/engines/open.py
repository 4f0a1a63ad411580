"""Opens an engine by its name. The libraries of an engine are imported only when the
engine is opened.
"""

from __future__ import annotations

import re
from pathlib import Path

from lakekit.declarations.tables import TableSet
from lakekit.engines.engine import Engine
from lakekit.errors import InvalidLakeError, SettingsError
from lakekit.storage.lake import Lake

ENGINES = ("embedded", "spark")
MEMORY = re.compile(r"0*[1-9][0-9]*(\.[0-9]+)? ?([KMGT]i?B)|", re.IGNORECASE)
"""Matches the memory limits that DuckDB accepts. An empty text means DuckDB's own
limit.
"""


def check_memory(memory: str) -> None:
    """Raise SettingsError for a memory limit that DuckDB does not accept."""
    if not MEMORY.fullmatch(memory):
        raise SettingsError(
            f"The memory limit {memory!r} is not a size",
            "Write a number and KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 2GB.",
        )


def open_engine(
    name: str, lake: Lake, tables: TableSet, scratch: Path, *, memory: str = ""
) -> Engine:
    """Return the engine with this name for one lake.

    Raises MissingExtraError if the engine is not installed; InvalidLakeError if the
    engine does not support the lake.
    """
    if name == "embedded":
        if lake.kind == "schema":
            raise InvalidLakeError(
                f"The lake {lake} is a schema, which only Spark can access",
                "Add --engine spark.",
            )
        from lakekit.engines.duckdb.engine import EmbeddedEngine

        return EmbeddedEngine(lake, tables, scratch, memory)
    from lakekit.engines.spark.engine import SparkEngine

    return SparkEngine(lake, tables, scratch)
