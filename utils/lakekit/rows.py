"""Looking into a lake: the first rows of one table."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple, Union

from lakekit.errors import LakeRefused
from lakekit.flights import TABLES
from lakekit.tables import TableSet


@dataclass(frozen=True)
class ShowResult:
    """The first rows of a table's newest version. Instants are datetimes in UTC."""

    table: str
    version: int
    columns: Tuple[str, ...]
    rows: Tuple[Dict[str, Any], ...]


def show(
    table: str, lake: Union[str, os.PathLike[str]], *, limit: int = 20, tables: TableSet = TABLES
) -> ShowResult:
    """The first rows of a table. Raises UnknownTable, and LakeRefused when the lake does not hold the table yet."""
    declared = tables[table]
    from lakekit.embedded import (  # the extra's packages are needed from here on, and not before
        EmbeddedEngine,
    )

    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with EmbeddedEngine(Path(lake), Path(scratch)) as engine:
            found = engine.rows(declared, limit)
    if found is None:
        raise LakeRefused(f"{lake} holds no table {table}", f"lakekit run --source DIR --lake {lake}")
    version, rows = found
    return ShowResult(table, version, tuple(column.name for column in declared.columns), tuple(rows))
