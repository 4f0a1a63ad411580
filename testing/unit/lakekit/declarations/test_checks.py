from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict

import pytest

from lakekit.declarations import checks, fields
from lakekit.declarations.tables import (
    INNER,
    ORIGIN,
    Column,
    Constraint,
    Expectation,
    Join,
    Source,
    Table,
    TableSet,
    bronze,
)
from lakekit.errors import DeclarationError, UnknownTableError


def wrong(value: object) -> Any:
    """Return the value. The return type is `Any`, so that mypy accepts the value for a
    field of a different type.
    """
    return value


SOURCE = Source("items", (Column("id", "int"), Column("name")))
ITEMS = Table(
    "silver.items",
    (Column("id", "int", required=True), Column("name"), *ORIGIN),
    ("bronze.items",),
    "items.sql",
    key=("id",),
    update="merge",
)


def declare(**changed: Any) -> TableSet:
    """Return a table set in which these fields of the silver table are changed."""
    return TableSet(
        (bronze(SOURCE), dataclasses.replace(ITEMS, **changed)), Path("sql")
    )


def with_column(**changed: Any) -> Dict[str, Any]:
    """Return the silver table's field `columns`, in which some fields of the column
    `name` are changed.
    """
    column = dataclasses.replace(Column("name"), **changed)
    return {"columns": (ITEMS.columns[0], column, *ORIGIN)}


WRONG = {
    "type": (with_column(type="integer"), "no type 'integer'", "int"),
    "type of another system": (with_column(type="text"), "no type 'text'", "string"),
    "type in capitals": (with_column(type="DATE"), "no type 'DATE'", "date"),
    "type that is no text": (with_column(type=str), "no type <class 'str'>", "string"),
    "update": ({"update": "upsert"}, "no update 'upsert'", "mean merge"),
    "severity": (
        {"expectations": (Expectation("e", "true", wrong("Drop")),)},
        "Expectation e: there is no severity 'Drop'",
        "Did you mean drop? There are warn, drop, fail.",
    ),
    "required": (with_column(required="yes"), "required is 'yes'", "required"),
    "tolerance": (with_column(tolerance="1%"), "tolerance is '1%'", "tolerance"),
    "negative tolerance": (with_column(tolerance=-1.0), "tolerance -1.0", "silver"),
    "no number": (with_column(tolerance=float("nan")), "tolerance nan", "silver"),
    "comment": (with_column(comment=None), "comment is None, not a text", "comment"),
    "key without comma": ({"key": "id"}, "key is 'id', not a tuple", "key=('id',)"),
    "list": ({"key": ["id"]}, r"key is \['id'\]", "round brackets"),
    "reads": ({"reads": ("bronze.item",)}, "bronze.item, .* bronze.items", "silver"),
    "no column": ({"key": ("ids",)}, "ids is used but not .* mean id", "silver"),
    "key twice": ({"key": ("id", "id")}, "key id is declared twice", "silver"),
    "columns": ({"columns": Column("id")}, "columns is Column id", "comma"),
    "column that is a text": ({"columns": ("id",)}, "columns is 'id'", "columns"),
    "join": ({"joins": (Join("x", wrong((("a",),))),)}, "on has", "TEXT, TEXT"),
    "constraint name": (
        {"constraints": (Constraint("not ok", "true"),)},
        "constraint 'not ok' has a name",
        "silver.items",
    ),
    "constraints of one name": (
        {"constraints": (Constraint("a", "true"), Constraint("A", "false"))},
        "constraint a is declared twice",
        "silver.items",
    ),
    "expectations of one name": (
        {"expectations": (Expectation("a", "true"), Expectation("a", "false"))},
        "expectation a is declared twice",
        "silver.items",
    ),
    "expectation without a name": (
        {"expectations": (Expectation("", "true"),)},
        "an expectation has no name",
        "silver.items",
    ),
    "source": ({"source": wrong("items")}, "source is 'items'", "source"),
    "layer": ({"name": "bronze.other"}, "must be bronze", "bronze.other"),
    "name": ({"name": 5}, "name is 5, not a text", "name"),
}


@pytest.mark.parametrize(("changed", "what", "next_step"), WRONG.values(), ids=WRONG)
def test_field_of_a_wrong_value_is_refused_by_name(
    changed: Dict[str, Any], what: str, next_step: str
) -> None:
    with pytest.raises(DeclarationError, match=what) as caught:
        declare(**changed)
    assert next_step in caught.value.next_step and caught.value.exit_code == 2


def test_every_field_of_every_declaration_refuses_another_type() -> None:
    for kind in (Column, Constraint, Expectation, Join, Source, Table):
        for field in dataclasses.fields(kind):
            given: Dict[str, Any] = {
                each.name: ("x",) if "Tuple" in str(each.type) else "x"
                for each in dataclasses.fields(kind)
                if each.default is dataclasses.MISSING
            }
            given[field.name] = 7j
            wrong = [what for what, _ in fields.faults(kind(**given))]
            assert any(field.name in what for what in wrong), (kind, field.name)


@pytest.mark.parametrize("name", INNER)
def test_name_of_an_inner_column_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=f"column {name} has a name that"):
        declare(**with_column(name=name))


@pytest.mark.parametrize(
    "name", ["", "Name", "a b", 'a"b', "a.b", "größe", "a-b", "1a", "a`b", "a\nb"]
)
def test_name_that_not_every_reader_takes_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="is not a lower-case name"):
        declare(**with_column(name=name))


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (Source("items", wrong(Column("a"))), "columns is Column a"),
        (dataclasses.replace(SOURCE, missing=wrong(None)), "missing is None"),
        (dataclasses.replace(SOURCE, misfits=wrong("10%")), "misfits is '10%'"),
        (dataclasses.replace(SOURCE, misfits=10), "misfits 10; misfits is a share"),
        (dataclasses.replace(SOURCE, misfits=float("nan")), "misfits nan"),
        (Source("items", (Column("A b"),)), "column A b is not a lower-case name"),
        (Source("my items", (Column("a"),)), "a table name is LAYER.TABLE"),
    ],
)
def test_source_of_a_wrong_value_is_refused(source: Source, what: str) -> None:
    with pytest.raises(DeclarationError, match=what):
        TableSet((bronze(source),), Path("sql"))


@pytest.mark.parametrize(
    ("tables", "what", "next_step"),
    [
        (bronze(SOURCE), "tables is Table bronze.items", "comma"),
        ([bronze(SOURCE)], "tables is ", "round brackets"),
        ((SOURCE,), "Source items is not a Table", "bronze"),
        (("bronze.items",), "'bronze.items' is not a Table", "Remove"),
    ],
)
def test_set_of_something_else_than_tables_is_refused(
    tables: Any, what: str, next_step: str
) -> None:
    with pytest.raises(DeclarationError, match=what) as caught:
        TableSet(tables, Path("sql"))
    assert next_step in caught.value.next_step


def test_source_has_one_table() -> None:
    again = dataclasses.replace(bronze(SOURCE), name="bronze.again")
    with pytest.raises(DeclarationError, match="has the same source as bronze.items"):
        TableSet((bronze(SOURCE), again), Path("sql"))


def test_merged_tables_of_one_short_name_are_refused() -> None:
    twice = dataclasses.replace(ITEMS, name="gold.items")
    with pytest.raises(DeclarationError, match="quarantine.items as another"):
        TableSet((bronze(SOURCE), ITEMS, twice), Path("sql"))


def test_folder_of_the_sql_may_be_a_text() -> None:
    assert TableSet((bronze(SOURCE),), wrong("sql")).sql == Path("sql")
    with pytest.raises(DeclarationError, match="sql is 5, not a folder"):
        TableSet((bronze(SOURCE),), wrong(5))


def test_every_rule_is_applied() -> None:
    rules = {name for name in vars(checks) if name.startswith("_mis")}
    assert rules - {"_misplaced"} <= {rule.__name__ for rule in checks.RULES}


def test_set_without_tables_has_no_nearest_name() -> None:
    with pytest.raises(UnknownTableError, match="no table gold.x") as caught:
        TableSet((), Path("sql"))["gold.x"]
    assert caught.value.next_step == "Declare it in TABLES."
