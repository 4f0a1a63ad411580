"""Checks the declarations of tables, except their SQL."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Iterator, List, Mapping, Sequence, Tuple

from lakekit.declarations.fields import Fault, faults, label, no_tuple
from lakekit.declarations.tables import (
    IDENTIFIER,
    INNER,
    LAYERS,
    ORIGIN,
    Source,
    Table,
    TableSet,
)
from lakekit.errors import DeclarationError, nearest

CONSTRAINT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Matches the names that both engines accept for a CHECK constraint."""


def check_set(tables: TableSet) -> None:
    """Raise DeclarationError if the set contains objects that are not tables."""
    for what, next_step in _misplaced(tables):
        raise DeclarationError("TABLES", what, next_step)


def check_table(table: Table, declared: Mapping[str, Table]) -> None:
    """Raise DeclarationError if a declaration is invalid, or conflicts with one of the
    tables in `declared`, which were declared before.
    """
    for what, next_step in faults(table):
        own = f"{label(table)}: "
        what = what[len(own) :] if what.startswith(own) else what
        raise DeclarationError(str(table.name), what, next_step)
    for rule in RULES:
        for objection in rule(table, declared):
            raise DeclarationError(
                table.name, objection, f"Correct the declaration of {table.name}."
            )


def _misplaced(tables: TableSet) -> Iterator[Fault]:
    found: Any = tables.tables  # a user's file may contain any type
    folder: Any = tables.sql
    if not isinstance(found, tuple):
        yield no_tuple(tables, "tables", found, (Table,))
        return
    for each in found:
        if isinstance(each, Source):
            yield f"{label(each)} is not a Table", "Write bronze(SOURCE) for a source."
        elif not isinstance(each, Table):
            yield f"{str(each)[:80]!r} is not a Table", "Remove it from TableSet."
    if not isinstance(folder, (str, os.PathLike)):
        yield f"sql is {folder!r}, not a folder", 'Write sql=Path("sql").'


def _misnamed(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    names = [column.name for column in table.columns]
    of_source = table.source.columns if table.source else ()
    for name in (*names, *(column.name for column in of_source)):
        if not IDENTIFIER.fullmatch(name):
            yield (
                f"column {name} is not a lower-case name: use a to z, 0 to 9 and _,"
                " and no digit at the start"
            )
        if name in INNER and table.layer != "quarantine":
            yield f"column {name} has a name that is reserved for lakekit"
    yield from (f"column {name} is declared twice" for name in _repeated(names))
    layer, _, short = table.name.partition(".")
    if layer not in LAYERS or layer == "quarantine" or not IDENTIFIER.fullmatch(short):
        yield (
            "a table name is LAYER.TABLE in lower case,"
            " and the layer is bronze, silver or gold"
        )
    if table.name in declared:
        yield "is declared twice"


def _undeclared(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    if bool(table.sql) == bool(table.source):
        yield "needs a source or an SQL file, but not both"
    for read in table.reads:
        if read not in declared:
            yield (
                f"reads {read}, which is not declared before it"
                + (f"; did you mean {nearest(read, declared)}?" if declared else "")
            )
    names = [column.name for column in table.columns]
    partitions = (table.partition,) if table.partition else ()
    for name in (*table.key, *table.latest, *partitions):
        if name not in names:
            yield (
                f"column {name} is used but not declared;"
                f" did you mean {nearest(name, names)}?"
            )


def _doubled(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    lists = {
        "key": table.key,
        "latest": table.latest,
        "reads": table.reads,
        "constraint": [each.name.lower() for each in table.constraints],
        "expectation": [each.name for each in table.expectations],
    }
    for what, names in lists.items():
        for name in _repeated(names):
            yield f"{what} {name} is declared twice"
    for name in lists["constraint"]:
        if not CONSTRAINT.fullmatch(name):
            yield (
                f"constraint {name!r} has a name that an engine does not accept:"
                " use letters, digits and _"
            )
    if "" in lists["expectation"]:
        yield "an expectation has no name"


def _out_of_range(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    for column in table.columns:
        if not 0 <= column.tolerance < 1:
            yield (
                f"column {column.name} has the tolerance {column.tolerance};"
                " a tolerance is a share from 0 to less than 1"
            )
    if table.source and not 0 <= table.source.misfits <= 1:
        yield (
            f"source {table.source.name} has the misfits {table.source.misfits};"
            " misfits is a share from 0 to 1, such as 0.1 for 10 %"
        )


def _missourced(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    if (table.layer == "bronze") != bool(table.source):
        yield "the layer must be bronze if, and only if, the table has a source"
    if table.source is None:
        return
    names = [column.name for column in (*table.source.columns, *ORIGIN)]
    if not set(names) <= {column.name for column in table.columns}:
        yield "lacks columns of its source; declare the table with bronze(SOURCE)"
    for other in declared.values():
        if other.source and other.source.name == table.source.name:
            yield f"has the same source as {other.name}; a source has one table"


def _misidentified(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    if table.partition and table[table.partition].type in ("timestamp", "double"):
        yield (
            f"is partitioned by {table.partition}, a {table[table.partition].type},"
            " which has too many values"
        )
    for column in table.columns:
        if column.name in (*table.key, table.partition) and not column.required:
            yield (
                f"column {column.name} identifies rows or partitions,"
                " but is not required"
            )


def _misupdated(table: Table, _: Mapping[str, Table]) -> Iterator[str]:
    if (table.update == "append") != bool(table.source):
        yield "must have update append if, and only if, it has a source"
    if table.update in ("merge", "groups") and not table.key:
        yield f"has update {table.update} but no key"


def _mismerged(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    if table.quarantine in declared:
        yield f"has the same quarantine {table.quarantine} as another merged table"
    if table.update != "merge":
        if any(each.severity == "drop" for each in table.expectations):
            yield "has an expectation of severity drop, which requires update merge"
        return
    if not table.reads or not declared[table.reads[0]].source:
        yield "is merged, but its first input table is not a bronze table"
    for column in ORIGIN:
        if column not in table.columns:
            yield (
                f"is merged, but lacks the column {column.name}"
                " of lakekit.declarations.ORIGIN"
            )


def _misjoined(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    here = {column.name for column in table.columns}
    for join in table.joins:
        if table.update != "merge" or join.read not in table.reads[1:]:
            yield (
                f"joins {join.read}, which is not one of its input tables after the"
                " first"
            )
            continue
        there = {column.name for column in declared[join.read].columns}
        for theirs, ours in join.on:
            if theirs not in there or ours not in here:
                yield f"joins {join.read} on undeclared columns: {theirs} = {ours}"


def _misgrouped(table: Table, declared: Mapping[str, Table]) -> Iterator[str]:
    for read in table.reads if table.update == "groups" else ():
        there = {column.name for column in declared[read].columns}
        for name in table.key:
            if name not in there:
                yield f"has update groups, but its input {read} has no column {name}"


RULES: Tuple[Callable[[Table, Mapping[str, Table]], Iterator[str]], ...] = (
    _misnamed,
    _undeclared,
    _doubled,
    _out_of_range,
    _misidentified,
    _misupdated,
    _mismerged,
    _misjoined,
    _misgrouped,
    _missourced,
)
"""Functions that check a table. Each function also gets the tables that were declared
before this table. Each function may assume that the table has passed the checks of all
previous functions.
"""


def _repeated(names: Sequence[str]) -> List[str]:
    """Return the names that occur twice or more."""
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
