"""Compares the declarations with the existing tables, for `lakekit plan`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple, Union

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.sql_checks import check_sql
from lakekit.declarations.tables import TableSet
from lakekit.engines.open import open_engine
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import check_lake, find_lake
from lakekit.transforms.evolution import Change, plan_changes
from lakekit.transforms.lineage import digest


@dataclass(frozen=True)
class PlanResult:
    """The schema changes of the next run, and the tables that the next run rebuilds
    because their declaration or SQL changed.
    """

    lake: str
    changes: Tuple[Change, ...]
    rebuilt: Tuple[str, ...]

    @property
    def needs_rebuild(self) -> bool:
        """Return whether the next run needs --allow-rebuild."""
        return any(not change.additive for change in self.changes)


def plan(
    lake: Union[str, os.PathLike[str]],
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
) -> PlanResult:
    """Return the schema changes and rebuilds of the next run. Nothing is written.

    Raises DamagedTableError if a table is damaged.
    """
    place = find_lake(lake)
    check_sql(tables)
    check_lake(place, tables)
    changes: List[Change] = []
    rebuilt: List[str] = []
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(engine, place, tables, Path(scratch)) as opened:
            for table in tables:
                head = undamaged_head(opened, table)
                changes += plan_changes(table, head)
                note = head.note if head else None
                if note and table.sql and note.digest != digest(tables, table):
                    rebuilt.append(table.name)
    return PlanResult(str(place), tuple(changes), tuple(rebuilt))
