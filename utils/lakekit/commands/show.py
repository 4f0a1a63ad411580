"""Shows the first rows of a table, for `lakekit show`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple, Union

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.names import listed
from lakekit.declarations.tables import TableSet
from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import find_lake


@dataclass(frozen=True)
class ShowResult:
    """The first rows of a table's newest version. Timestamps are datetimes in UTC."""

    table: str
    version: int
    columns: Tuple[str, ...]
    rows: Tuple[Dict[str, Any], ...]


def show(
    table: str,
    lake: Union[str, os.PathLike[str]],
    *,
    limit: int = 20,
    engine: str = "embedded",
    tables: TableSet = TABLES,
) -> ShowResult:
    """Return the first rows of a table.

    Raises UnknownTableError if the table is not declared; InvalidLakeError if it does
    not exist yet; DamagedTableError if it is damaged.
    """
    declared = tables[table]
    columns = tuple(column.name for column in declared.columns)
    place = find_lake(lake)
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(engine, place, tables, Path(scratch)) as opened:
            head = undamaged_head(opened, declared)
            if head is None:
                raise InvalidLakeError(
                    f"{lake} holds no table {table}",
                    f"lakekit run --source DIR --lake {lake}",
                )
            opened.read(declared, "shown")
            found = opened.query(
                f"select {listed(columns)} from shown limit {int(limit)}"
            )
    return ShowResult(
        table, head.version, columns, tuple(dict(zip(columns, row)) for row in found)
    )
