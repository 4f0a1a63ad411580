"""Schema changes that make an existing table match its declaration: additive changes,
and changes that need a rebuild.

Delta rewrites the SQL of a CHECK constraint, so constraints are compared only by name.
A change of a constraint's expression alone is not detected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Iterable, List, Literal, Optional, Sequence, Tuple

from lakekit.declarations.tables import Column, Constraint, Table, TableSet
from lakekit.engines.engine import Engine, Head
from lakekit.errors import ConstraintViolationError, RebuildRequiredError

Kind = Literal[
    "create",
    "add column",
    "drop column",
    "change type",
    "require column",
    "repartition",
    "add constraint",
    "drop constraint",
]


@dataclass(frozen=True)
class Change:
    """One difference between a declaration and the stored table.

    An additive change does not change existing rows. A change that is not additive
    needs a rebuild. A bronze table cannot be rebuilt, because it is not computed from
    another table.
    """

    table: str
    kind: Kind
    what: str
    additive: bool
    column: Optional[Column] = None
    constraint: Optional[Constraint] = None


def plan_changes(table: Table, head: Optional[Head]) -> Tuple[Change, ...]:
    """Return the changes that make the table match its declaration.

    Undeclared columns are dropped, except in bronze and quarantine tables, because
    these tables also store new columns of a source, which are not declared.
    """
    if head is None:
        return (
            Change(
                table.name, "create", f"{len(table.columns)} columns", additive=True
            ),
        )
    return (
        *_column_changes(table, head),
        *_dropped_columns(table, head),
        *_partition_changes(table, head),
        *_constraint_changes(table, head),
    )


def apply(
    engine: Engine, tables: TableSet, changes: Sequence[Change], allow_rebuild: bool
) -> FrozenSet[str]:
    """Make the additive changes, and return the names of the tables to rebuild.

    All changes are checked before the first change is made. Raises
    ConstraintViolationError if existing rows violate a new constraint. Raises
    RebuildRequiredError if a bronze table would need a rebuild, or if any other table
    needs a rebuild but rebuilds are not allowed.
    """
    rebuilt = frozenset(change.table for change in changes if not change.additive)
    for change in changes:
        _check_allowed(tables[change.table], change, allow_rebuild)
        if change.table not in rebuilt:
            _check_constraint(engine, tables[change.table], change)
    for change in changes:
        # A rebuild replaces the columns together with the rows, and the old rows need
        # not satisfy a new constraint.
        if change.table not in rebuilt or change.kind in ("create", "drop constraint"):
            _make(engine, tables[change.table], change)
    return rebuilt


def _check_allowed(table: Table, change: Change, allow_rebuild: bool) -> None:
    possible = table.layer != "bronze"
    if not change.additive and not (allow_rebuild and possible):
        raise RebuildRequiredError(
            change.table, f"{change.kind} {change.what}", possible=possible
        )


def _make(engine: Engine, table: Table, change: Change) -> None:
    """Make an additive change."""
    if change.kind == "create":
        engine.create(table)
    elif change.kind == "add column" and change.column:
        engine.add_columns(table, [change.column])
    elif change.kind == "add constraint" and change.constraint:
        engine.add_constraint(table, change.constraint.name, change.constraint.sql)
    elif change.kind == "drop constraint" and change.constraint:
        engine.drop_constraint(table, change.constraint.name)


def _column_changes(table: Table, head: Head) -> List[Change]:
    stored = {column.name: column for column in head.columns}
    return [
        change
        for column in table.columns
        for change in _column(table, column, stored.get(column.name))
    ]


def _dropped_columns(table: Table, head: Head) -> List[Change]:
    if table.layer in ("bronze", "quarantine"):
        return []
    declared = {column.name for column in table.columns}
    return [
        Change(table.name, "drop column", column.name, additive=False)
        for column in head.columns
        if column.name not in declared
    ]


def _partition_changes(table: Table, head: Head) -> List[Change]:
    if head.partition == table.partition:
        return []
    what = f"by {table.partition or 'nothing'} instead of {head.partition or 'nothing'}"
    return [Change(table.name, "repartition", what, additive=False)]


def _constraint_changes(table: Table, head: Head) -> List[Change]:
    declared = {constraint.name.lower() for constraint in table.constraints}
    added = [
        Change(
            table.name,
            "add constraint",
            f"{constraint.name}: {constraint.sql}",
            additive=True,
            constraint=constraint,
        )
        for constraint in table.constraints
        if constraint.name.lower() not in head.constraints
    ]
    dropped = [
        Change(
            table.name,
            "drop constraint",
            name,
            additive=True,
            constraint=Constraint(name, ""),
        )
        for name in sorted(head.constraints - declared)
    ]
    return added + dropped


def _column(
    table: Table, declared: Column, stored: Optional[Column]
) -> Iterable[Change]:
    name, kind = declared.name, declared.type
    if stored is None:
        what = f"{name} {kind}{' not null' if declared.required else ''}"
        return [Change(table.name, "add column", what, not declared.required, declared)]
    changes = []
    if stored.type != kind:
        changes.append(
            Change(
                table.name,
                "change type",
                f"of {name} from {stored.type} to {kind}",
                False,
                declared,
            )
        )
    if declared.required and not stored.required:
        changes.append(Change(table.name, "require column", name, False, declared))
    return changes


def _check_constraint(engine: Engine, table: Table, change: Change) -> None:
    """Raise ConstraintViolationError if existing rows violate a constraint that will be
    added.

    A new column is null in all existing rows, and Delta requires that a constraint is
    true. So a constraint on a new column must accept nulls, with `IS NULL OR`.
    """
    constraint = change.constraint
    if change.kind != "add constraint" or constraint is None:
        return
    engine.read(table, "_constrained")
    met = engine.predicate(table.name, constraint.sql)
    broken = engine.query(
        f"select count(*) from _constrained where not coalesce({met}, false)"
    )[0][0]
    if broken:
        raise ConstraintViolationError(table.name, constraint.name, int(broken))
