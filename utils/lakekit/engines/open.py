"""Opens an engine by its name; its libraries are imported only then."""

from __future__ import annotations

from pathlib import Path

from lakekit.declarations.tables import TableSet
from lakekit.engines.engine import Engine
from lakekit.errors import InvalidLakeError
from lakekit.storage.lake import Lake

ENGINES = ("embedded", "spark")


def open_engine(
    name: str, lake: Lake, tables: TableSet, scratch: Path, *, memory: str = ""
) -> Engine:
    """Return the engine of that name for one lake. Raises MissingExtraError;
    InvalidLakeError for a lake that the engine does not support.
    """
    if name == "embedded":
        if lake.kind == "schema":
            raise InvalidLakeError(
                f"The lake {lake} is a schema, which Spark knows by name",
                "Add --engine spark.",
            )
        from lakekit.engines.duckdb.engine import EmbeddedEngine

        return EmbeddedEngine(lake, tables, scratch, memory)
    from lakekit.engines.spark.engine import SparkEngine

    return SparkEngine(lake, tables, scratch)
