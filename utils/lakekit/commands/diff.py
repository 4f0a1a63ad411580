"""Compares two lakes row by row.

Both compared lakes must have the same declarations. For example, compare a lake with
its copy, or the lakes that two engines or two versions of the code wrote.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple, Union, get_args

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.names import listed, quoted
from lakekit.declarations.tables import Column, Table, TableSet, Type
from lakekit.engines.engine import Engine, Head
from lakekit.engines.open import open_engine
from lakekit.errors import DamagedTableError, InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import Lake, check_lake, find_lake
from lakekit.transforms.merge import ROW

KINDS = {"folder": "a folder", "s3": "on S3", "schema": "a schema"}
SECOND = "@b"
"""In the engine, the name of each table of the second lake ends with this suffix.
Declared names never contain `@`.
"""


@dataclass(frozen=True)
class _Pair(Lake):
    """Presents two lakes as one lake, so that one engine can read both lakes."""

    second: Lake

    def location(self, table: Table) -> str:
        if table.name.endswith(SECOND):
            return self.second.location(replace(table, name=table.name[: -len(SECOND)]))
        return super().location(table)


@dataclass(frozen=True)
class TableDiff:
    """The differences of one table between two lakes.

    Attributes:
        rows_a: number of rows in lake A; None if lake A does not have the table.
        rows_b: number of rows in lake B; None if lake B does not have the table.
        only_a: number of rows of lake A that have no counterpart in lake B. A row has
            no counterpart if lake B has no row with the same key, or fewer rows with
            this key than lake A.
        only_b: number of rows of lake B that have no counterpart in lake A.
        changed: number of rows that have the same key in both lakes, but differ in a
            column that is not part of the key.
        columns: by column, the number of changed rows whose values in this column
            differ.
        shape: columns that only one lake has, or whose types differ between the lakes.
            Each of these columns is written as `NAME TYPE (LAKE)`.
    """

    table: str
    rows_a: Optional[int]
    rows_b: Optional[int]
    only_a: int
    only_b: int
    changed: int
    columns: Mapping[str, int]
    shape: Tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the two tables differ."""
        missing = (self.rows_a is None) != (self.rows_b is None)
        return missing or bool(self.only_a or self.only_b or self.changed or self.shape)


@dataclass(frozen=True)
class DiffResult:
    """The differences of all declared tables that exist in at least one lake."""

    lake_a: str
    lake_b: str
    tables: Tuple[TableDiff, ...]

    @property
    def differs(self) -> bool:
        """Whether any table differs."""
        return any(table.differs for table in self.tables)


def diff(
    lake_a: Union[str, os.PathLike[str]],
    lake_b: Union[str, os.PathLike[str]],
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
) -> DiffResult:
    """Compare the newest versions of all tables of two lakes. Nothing is written.

    Two doubles are considered equal if their relative difference is at most the
    tolerance of the column. Volatile columns are ignored. All other values must be
    identical.

    Raises InvalidLakeError if neither lake has a table, or if the lakes are of
    different kinds, so that no engine can read both lakes. Raises DamagedTableError if
    a table is damaged.
    """
    a, b = find_lake(lake_a), find_lake(lake_b)
    if a.kind != b.kind:
        raise InvalidLakeError(
            f"{a} is {KINDS[a.kind]} and {b} is {KINDS[b.kind]}",
            "Copy one of the lakes, so that both are of the same kind.",
        )
    for lake in (a, b):
        check_lake(lake, tables)
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(
            engine, _Pair(a.kind, a.root, b), tables, Path(scratch)
        ) as opened:
            lakes = (os.fspath(lake_a), os.fspath(lake_b))
            compared = [_compare(opened, table, lakes) for table in tables]
    found = [table for table in compared if table is not None]
    if not found:
        raise InvalidLakeError(
            f"Neither {a} nor {b} holds any of the declared tables",
            "lakekit run --source DIR --lake LAKE",
        )
    return DiffResult(str(a), str(b), tuple(found))


def _compare(engine: Engine, table: Table, lakes: Sequence[str]) -> Optional[TableDiff]:
    """Return the differences of a table; None if neither lake has the table."""
    second = replace(table, name=table.name + SECOND)
    head_a, head_b = (
        _head(engine, each, lake) for each, lake in zip((table, second), lakes)
    )
    if head_a is None and head_b is None:
        return None
    if head_a is None:
        rows = engine.rows(second)
        return TableDiff(table.name, None, rows, 0, rows, 0, {}, ())
    if head_b is None:
        rows = engine.rows(table)
        return TableDiff(table.name, rows, None, rows, 0, 0, {}, ())
    columns = _columns(table, head_a, head_b)
    table, second = replace(table, columns=columns), replace(second, columns=columns)
    same = TableDiff(
        table.name,
        engine.rows(table),
        engine.rows(second),
        0,
        0,
        0,
        {},
        _shape(head_a, head_b),
    )
    engine.read(table, "_diff_a")
    engine.read(second, "_diff_b")
    if not engine.keep("_diff_net", _net(table)):
        return same
    return _with_counts(engine, table, same)


def _shape(head_a: Head, head_b: Head) -> Tuple[str, ...]:
    """Return the columns that only one of the two tables has, or whose types differ."""
    types_a, types_b = (
        {(c.name, c.type) for c in head.columns} for head in (head_a, head_b)
    )
    return tuple(
        f"{name} {kind} ({lake})"
        for lake, only_here in (("A", types_a - types_b), ("B", types_b - types_a))
        for name, kind in sorted(only_here)
    )


def _with_counts(engine: Engine, table: Table, same: TableDiff) -> TableDiff:
    """Count the differing rows and values, and return the numbers in a copy of `same`.
    The numbers are computed from the view `_diff_net`.
    """
    compared = [column for column in table.columns if not column.volatile]
    values = [column for column in compared if column.name not in _key(table)]
    engine.define("_diff_pairs", _pairs(table, compared))
    engine.keep("_diff_fates", _fates(values))
    by_column = "".join(
        f", coalesce(sum(changed) filter (where {quoted('differs_' + c.name)}), 0)"
        for c in values
    )
    counts = engine.query(
        "select coalesce(sum(only_a), 0), coalesce(sum(only_b), 0),"
        f" coalesce(sum(changed), 0){by_column} from _diff_fates"
    )[0]
    return replace(
        same,
        only_a=int(counts[0]),
        only_b=int(counts[1]),
        changed=int(counts[2]),
        columns={c.name: int(count) for c, count in zip(values, counts[3:]) if count},
    )


def _head(engine: Engine, table: Table, lake: str) -> Optional[Head]:
    """Return the newest state of a table in a lake. Raises DamagedTableError if the
    table is damaged; the next step of the error names the lake.
    """
    name = table.name[: -len(SECOND)] if table.name.endswith(SECOND) else table.name
    try:
        return undamaged_head(engine, table, name)
    except DamagedTableError as error:
        error.next_step += f" --lake {shlex.quote(lake)}"
        raise


def _columns(table: Table, head_a: Head, head_b: Head) -> Tuple[Column, ...]:
    """Return the declared columns, and each undeclared column (such as a new column in
    bronze) that both tables have with the same type.
    """
    declared, both = {column.name for column in table.columns}, {
        (c.name, c.type) for c in head_b.columns
    }
    known = get_args(Type)
    more = [
        c
        for c in head_a.columns
        if c.name not in declared and c.type in known and (c.name, c.type) in both
    ]
    return table.columns + tuple(more)


def _key(table: Table) -> Tuple[str, ...]:
    """Return the columns that identify a row. A bronze row is identified by the columns
    for its origin. Any other row is identified by the declared key. If a table has no
    key, a row is identified by all columns except volatile columns and columns that
    have a tolerance.
    """
    exact = tuple(
        column.name
        for column in table.columns
        if not column.volatile and not column.tolerance
    )
    return ROW if table.source else table.key or exact


def _net(table: Table) -> str:
    """Return a query for the rows that occur more often in one lake than in the other
    lake. Volatile columns are ignored.
    """
    columns = listed(each.name for each in table.columns if not each.volatile)
    both = (
        f"select {columns}, 1 as _sign from _diff_a"
        f" union all select {columns}, -1 from _diff_b"
    )
    return (
        f"select {columns}, sum(_sign) as _sign from ({both}) _both group by {columns}"
        " having sum(_sign) <> 0"
    )


def _pairs(table: Table, columns: List[Column]) -> str:
    """Return a query that pairs rows of lakes A and B by key, and includes rows without
    a match. In the query's result, the names of columns of lake A start with `a_`, and
    those of lake B with `b_`. `_a_rows` and `_b_rows` are the numbers of identical rows
    that the pair stands for.
    """
    key = _key(table)
    order = (
        f"row_number() over (partition by {listed(key)} order by"
        f" {listed(c.name for c in columns)})"
    )

    def side(letter: str, sign: str) -> str:
        named = ", ".join(
            f"{quoted(each.name)} as {quoted(f'{letter}_{each.name}')}"
            for each in columns
        )
        count = f"{sign}_sign as _{letter}_rows"
        return (
            f"(select {named}, {count}, {order} as _{letter}_nth from _diff_net"
            f" where {sign}_sign > 0) {letter}"
        )

    same = [
        f"{quoted(f'a_{name}')} is not distinct from {quoted(f'b_{name}')}"
        for name in key
    ]
    return (
        f"select * from {side('a', '')} full outer join {side('b', '-')}"
        f" on {' and '.join(same)} and _a_nth = _b_nth"
    )


def _fates(values: List[Column]) -> str:
    """Return SQL that computes for each pair which columns differ, and how many rows
    are only in A, only in B, or changed.
    """
    differing = [f"({_differs(column)})" for column in values]
    flags = "".join(
        f", {sql} as {quoted('differs_' + column.name)}"
        for sql, column in zip(differing, values)
    )
    a, b = "coalesce(_a_rows, 0)", "coalesce(_b_rows, 0)"
    return (
        f"select greatest({a} - {b}, 0) as only_a, greatest({b} - {a}, 0) as only_b,"
        f" case when {' or '.join(differing) or 'false'} then least({a}, {b}) else 0"
        f" end as changed{flags} from _diff_pairs"
    )


def _differs(column: Column) -> str:
    a, b = quoted(f"a_{column.name}"), quoted(f"b_{column.name}")
    distinct = f"{a} is distinct from {b}"
    if not column.tolerance:
        return distinct
    return (
        f"{distinct} and not coalesce(abs({a} - {b}) <= {column.tolerance!r} *"
        f" greatest(abs({a}), abs({b})), false)"
    )
