from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Tuple

import pytest

from lakekit.declarations.tables import (
    ORIGIN,
    Column,
    Constraint,
    Source,
    Table,
    TableSet,
    bronze,
)
from lakekit.engines.engine import Head
from lakekit.errors import ConstraintViolationError, RebuildRequiredError
from lakekit.template.tables import TABLES
from lakekit.transforms.evolution import Change, apply, plan_changes

SILVER = TABLES["silver.orders"]
BRONZE = TABLES["bronze.orders"]


def head_of(table: Table, **changes: Any) -> Head:
    """Return the `Head` of a stored table. The `Head` differs from the table's
    declaration only in the fields of `changes`.
    """
    names = frozenset(each.name.lower() for each in table.constraints)
    head = Head("id", 3, 3, None, False, table.columns, table.partition, names)
    return replace(head, **changes)


def kinds(changes: Tuple[Change, ...]) -> List[Tuple[str, bool]]:
    return [(change.kind, change.additive) for change in changes]


@pytest.mark.parametrize("table", list(TABLES), ids=lambda table: str(table.name))
def test_table_that_is_as_declared_needs_no_change(table: Table) -> None:
    assert plan_changes(table, head_of(table)) == ()


def test_missing_table_is_created() -> None:
    assert kinds(plan_changes(SILVER, None)) == [("create", True)]


def without(name: str) -> Tuple[Column, ...]:
    return tuple(column for column in SILVER.columns if column.name != name)


@pytest.mark.parametrize(
    ("head", "kind", "what", "additive"),
    [
        (
            head_of(SILVER, columns=without("customer")),
            "add column",
            "customer string",
            True,
        ),
        (
            head_of(SILVER, columns=without("item")),
            "add column",
            "item string not null",
            False,
        ),
        (
            head_of(SILVER, columns=(*SILVER.columns, Column("more"))),
            "drop column",
            "more",
            False,
        ),
        (
            head_of(
                SILVER,
                columns=(*without("price"), Column("price", "int", required=True)),
            ),
            "change type",
            "of price from int to double",
            False,
        ),
        (
            head_of(SILVER, columns=(*without("item"), Column("item"))),
            "require column",
            "item",
            False,
        ),
        (
            head_of(SILVER, partition="item"),
            "repartition",
            "by nothing instead of item",
            False,
        ),
        (
            head_of(SILVER, constraints=frozenset()),
            "add constraint",
            "price_not_negative: price >= 0",
            True,
        ),
        (
            head_of(SILVER, constraints=frozenset({"old", "price_not_negative"})),
            "drop constraint",
            "old",
            True,
        ),
    ],
)
def test_each_difference_is_named_and_known_to_be_additive_or_not(
    head: Head, kind: str, what: str, additive: bool
) -> None:
    assert [(c.kind, c.what, c.additive) for c in plan_changes(SILVER, head)] == [
        (kind, what, additive)
    ]


@pytest.mark.parametrize("name", ["bronze.orders", "quarantine.orders"])
def test_column_that_a_source_brought_is_no_change(name: str) -> None:
    table = TABLES[name]
    assert (
        plan_changes(table, head_of(table, columns=(*table.columns, Column("brought"))))
        == ()
    )


def test_column_that_may_be_null_again_is_no_change() -> None:
    stored = (*without("customer"), Column("customer", required=True))
    assert [c.kind for c in plan_changes(SILVER, head_of(SILVER, columns=stored))] == []


class Recorder:
    """A fake engine that records its calls. For each constraint, the engine reports
    that `broken` rows violate the constraint.
    """

    def __init__(self, broken: int = 0) -> None:
        self.calls: List[Tuple[str, ...]] = []
        self._broken = broken

    def __getattr__(self, name: str) -> Any:
        def call(table: Table, *arguments: Any) -> None:
            said = (
                [
                    (
                        getattr(arguments[0][0], "name", "")
                        if isinstance(arguments[0], list)
                        else arguments[0]
                    )
                ]
                if arguments
                else []
            )
            self.calls.append((name, table.name, *map(str, said)))

        return call

    def read(self, table: Table, view: str) -> None:
        assert table.name and view

    def predicate(self, table: str, sql: str) -> str:
        return f"{table}:{sql}"

    def query(self, sql: str) -> List[Tuple[int]]:
        assert "not coalesce(silver.orders:price >= 0, false)" in sql
        return [(self._broken,)]


def applied(
    engine: Recorder,
    head: Optional[Head],
    allow_rebuild: bool = False,
    table: Table = SILVER,
) -> Any:
    return apply(engine, TABLES, plan_changes(table, head), allow_rebuild)


def test_additive_changes_are_made() -> None:
    engine = Recorder()
    stored = head_of(
        SILVER, columns=without("customer"), constraints=frozenset({"old"})
    )
    assert applied(engine, stored) == frozenset()
    assert engine.calls == [
        ("add_columns", "silver.orders", "customer"),
        ("add_constraint", "silver.orders", "price_not_negative"),
        ("drop_constraint", "silver.orders", "old"),
    ]


def test_new_constraint_that_existing_rows_violate_is_refused() -> None:
    engine = Recorder(broken=1234)
    with pytest.raises(
        ConstraintViolationError,
        match="1,234 rows violate the new constraint price_not_negative",
    ) as caught:
        applied(
            engine,
            head_of(SILVER, columns=without("customer"), constraints=frozenset()),
        )
    assert caught.value.exit_code == 2 and engine.calls == []


def test_rebuild_needs_to_be_allowed_and_then_names_the_table() -> None:
    engine, stored = Recorder(), head_of(
        SILVER, partition="item", columns=without("customer")
    )
    with pytest.raises(RebuildRequiredError) as caught:
        applied(engine, stored)
    assert caught.value.exit_code == 2 and "--allow-rebuild" in caught.value.next_step
    assert engine.calls == []
    assert applied(engine, stored, allow_rebuild=True) == {"silver.orders"}


def test_bronze_rebuild_is_refused_even_when_allowed() -> None:
    required = tuple(column for column in BRONZE.columns if column.name != "item")
    with pytest.raises(RebuildRequiredError, match="bronze.orders") as caught:
        applied(
            Recorder(),
            head_of(BRONZE, columns=required),
            allow_rebuild=True,
            table=BRONZE,
        )
    assert "cannot be rebuilt" in caught.value.next_step


def test_bronze_grows_by_what_its_source_may_lack() -> None:
    table = replace(bronze(Source("orders", ())), columns=(*ORIGIN, Column("note")))
    engine = Recorder()
    tables = TableSet((table,), TABLES.sql)
    changes = plan_changes(table, head_of(table, columns=ORIGIN))
    assert apply(engine, tables, changes, False) == frozenset()
    assert engine.calls == [("add_columns", "bronze.orders", "note")]


def test_constraint_is_known_by_its_name_in_any_case() -> None:
    table = replace(
        SILVER, constraints=(Constraint("Price_Not_Negative", "price > 0"),)
    )
    assert plan_changes(table, head_of(SILVER)) == ()
