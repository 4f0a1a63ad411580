from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Tuple

import pytest

from lakekit.errors import DeclarationError, UnknownTable
from lakekit.tables import Column, Source, Table, TableSet, bronze

A = Table("silver.a", (Column("x"),), sql="a.sql")
B = Table("gold.b", (Column("x"),), reads=("silver.a",), sql="b.sql")


def test_bronze_table_keeps_strings_and_where_they_came_from() -> None:
    table = bronze(Source("people", (Column("name"), Column("age", "int"))))
    assert table.name == "bronze.people"
    assert [(column.name, column.type) for column in table.columns] == [
        ("name", "string"),
        ("age", "string"),
        ("_source_file", "string"),
        ("_source_row", "bigint"),
    ]


def test_name_gives_layer_and_folder() -> None:
    assert (B.layer, B.folder) == ("gold", Path("gold/b"))


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ((A, A), "declared twice"),
        ((B, A), "reads silver.a, which is not declared before it"),
        ((dataclasses.replace(A, name="a"),), "LAYER.TABLE"),
        ((dataclasses.replace(A, name="iron.a"),), "LAYER.TABLE"),
        ((dataclasses.replace(A, name="gold.a.b"),), "LAYER.TABLE"),
        ((dataclasses.replace(A, sql=""),), "a source or an SQL file"),
        ((dataclasses.replace(A, source=Source("a", ())),), "not both"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(tables: Tuple[Table, ...], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        TableSet(tables, Path())


def test_unknown_table_names_the_nearest() -> None:
    tables = TableSet((A, B), Path())
    assert tables["gold.b"] is B and len(tables) == 2
    with pytest.raises(UnknownTable) as caught:
        tables["golds.b"]
    assert caught.value.next_step == "Did you mean gold.b?"


def test_canonical_text_changes_with_the_declaration() -> None:
    assert A.canonical() == dataclasses.replace(A).canonical()
    assert A.canonical() != dataclasses.replace(A, columns=(Column("x", "int"),)).canonical()
    assert A.canonical() != dataclasses.replace(A, columns=(Column("x", required=True),)).canonical()
