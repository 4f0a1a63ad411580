"""Checks expectations and constraints on the stored rows, for `lakekit quality`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Literal, Mapping, Tuple, Union

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.sql_checks import check_sql
from lakekit.declarations.tables import Severity, Table, TableSet
from lakekit.engines.engine import Engine
from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import check_lake, find_lake
from lakekit.transforms.rules import unmet

Kind = Literal["expectation", "constraint"]


@dataclass(frozen=True)
class Check:
    """The result of one predicate on one table: the number of all rows (`rows`), and
    the number of rows that do not meet the predicate (`unmet`). Constraints have the
    severity `fail`.
    """

    table: str
    kind: Kind
    name: str
    severity: Severity
    unmet: int
    rows: int

    @property
    def failed(self) -> bool:
        """Return whether rows do not meet the predicate. The result is always False if
        the severity is `warn`.
        """
        return self.unmet > 0 and self.severity != "warn"


@dataclass(frozen=True)
class QualityResult:
    """The checks of every existing table. `quarantined` has, for each quarantine table,
    the number of its rows for each rule.
    """

    lake: str
    checks: Tuple[Check, ...]
    quarantined: Mapping[str, Mapping[str, int]]
    missing: Tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Return whether any check failed."""
        return any(check.failed for check in self.checks)

    @property
    def warnings(self) -> int:
        """Return the number of expectations of severity `warn` that some rows do not
        meet.
        """
        return sum(check.unmet > 0 and not check.failed for check in self.checks)


def quality(
    lake: Union[str, os.PathLike[str]],
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
) -> QualityResult:
    """Check the stored rows of the lake's tables against their declarations. Nothing is
    written.

    Raises InvalidLakeError if the lake has no declared table; DamagedTableError if a
    table is damaged.
    """
    place = find_lake(lake)
    check_sql(tables)
    check_lake(place, tables)
    checks: List[Check] = []
    quarantined, missing = {}, []
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(engine, place, tables, Path(scratch)) as opened:
            for table in tables:
                if undamaged_head(opened, table) is None:
                    missing.append(table.name)
                elif table.layer == "quarantine":
                    quarantined[table.name] = _refused(opened, table)
                else:
                    checks += _checks(opened, table)
    if len(missing) == len(tables):
        raise InvalidLakeError(
            f"{lake} holds none of the tables",
            f"lakekit run --source DIR --lake {lake}",
        )
    return QualityResult(str(place), tuple(checks), quarantined, tuple(missing))


def _checks(engine: Engine, table: Table) -> List[Check]:
    """Return all checks of a table, computed in one pass over its rows."""
    predicates: List[Tuple[Kind, str, Severity, str]] = [
        ("expectation", each.name, each.severity, each.sql)
        for each in table.expectations
    ]
    predicates += [
        ("constraint", each.name, "fail", each.sql) for each in table.constraints
    ]
    if not predicates:
        return []
    engine.read(table, "_checked")
    counts = [
        f"count(*) filter (where {unmet(engine, table, sql)})" for *_, sql in predicates
    ]
    rows, *found = engine.query(f"select count(*), {', '.join(counts)} from _checked")[
        0
    ]
    return [
        Check(table.name, kind, name, severity, int(count), int(rows))
        for (kind, name, severity, _), count in zip(predicates, found)
    ]


def _refused(engine: Engine, table: Table) -> Mapping[str, int]:
    engine.read(table, "_refused")
    found = engine.query(
        "select _rule, count(*) from _refused group by _rule order by _rule"
    )
    return {str(rule): int(rows) for rule, rows in found}
