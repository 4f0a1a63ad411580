from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Tuple

import pytest

from lakekit.declarations.tables import (
    ORIGIN,
    Column,
    Expectation,
    Join,
    Source,
    Table,
    TableSet,
    bronze,
)
from lakekit.errors import DeclarationError, UnknownTableError

A = Table("silver.a", (Column("x"),), sql="a.sql")
B = Table("gold.b", (Column("x"),), reads=("silver.a",), sql="b.sql")
BRONZE = bronze(Source("c", (Column("x", required=True),)))
MERGED = Table(
    "silver.c",
    (Column("x", required=True), *ORIGIN),
    ("bronze.c", "silver.a"),
    "c.sql",
    key=("x",),
    update="merge",
)


def test_bronze_table_keeps_strings_and_where_they_came_from() -> None:
    table = bronze(Source("people", (Column("name"), Column("age", "int"))))
    assert table.name == "bronze.people"
    assert [(column.name, column.type) for column in table.columns] == [
        ("name", "string"),
        ("age", "string"),
        ("_source_file", "string"),
        ("_source_sha256", "string"),
        ("_source_row", "bigint"),
        ("_ingested_at", "timestamp"),
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
        ((dataclasses.replace(A, source=Source("a", ())),), "but not both"),
        ((dataclasses.replace(A, name="quarantine.a"),), "LAYER.TABLE"),
        (
            (dataclasses.replace(A, columns=(Column("X"),)),),
            "column X is not a lower-case name",
        ),
        (
            (dataclasses.replace(A, columns=A.columns * 2),),
            "column x is declared twice",
        ),
        ((dataclasses.replace(A, key=("y",)),), "column y is used but not declared"),
        (
            (dataclasses.replace(A, key=("x",)),),
            "column x identifies rows or partitions, but is not required",
        ),
        (
            (dataclasses.replace(A, partition="x"),),
            "column x identifies rows or partitions",
        ),
        (
            (
                dataclasses.replace(
                    A, columns=(Column("x", "double", True),), partition="x"
                ),
            ),
            "by x, a double",
        ),
        (
            (dataclasses.replace(A, update="append"),),
            "update append if, and only if, it has a source",
        ),
        (
            (dataclasses.replace(A, update="groups"),),
            "update groups but no key",
        ),
        (
            (dataclasses.replace(A, expectations=(Expectation("e", "true", "drop"),)),),
            "severity drop, which requires update merge",
        ),
        (
            (A, dataclasses.replace(B, joins=(Join("silver.a", ()),))),
            "joins silver.a, which is not one of its input tables",
        ),
        (
            (A, dataclasses.replace(MERGED, reads=("silver.a",))),
            "its first input table is not a bronze table",
        ),
        (
            (
                A,
                BRONZE,
                dataclasses.replace(MERGED, columns=(Column("x", required=True),)),
            ),
            "lacks the column _source_file",
        ),
        (
            (
                A,
                BRONZE,
                dataclasses.replace(MERGED, joins=(Join("silver.a", (("y", "x"),)),)),
            ),
            "joins silver.a on undeclared columns: y = x",
        ),
        (
            (
                A,
                dataclasses.replace(
                    B,
                    columns=(Column("k", required=True),),
                    key=("k",),
                    update="groups",
                ),
            ),
            "silver.a has no column k",
        ),
    ],
)
def test_declarations_that_do_not_fit_are_refused(
    tables: Tuple[Table, ...], reason: str
) -> None:
    with pytest.raises(DeclarationError, match=reason):
        TableSet(tables, Path())


def test_unknown_table_names_the_nearest() -> None:
    tables = TableSet((A, B), Path())
    assert tables["gold.b"] is B and len(tables) == 2
    with pytest.raises(UnknownTableError) as caught:
        tables["golds.b"]
    assert caught.value.next_step == "Did you mean gold.b?"


def test_canonical_text_changes_with_the_declaration() -> None:
    assert A.canonical() == dataclasses.replace(A).canonical()
    assert (
        A.canonical()
        != dataclasses.replace(A, columns=(Column("x", "int"),)).canonical()
    )
    assert (
        A.canonical()
        != dataclasses.replace(A, columns=(Column("x", required=True),)).canonical()
    )


def test_canonical_text_stays_when_only_words_change() -> None:
    described = dataclasses.replace(
        A, comment="All of a", columns=(Column("x", comment="An x", tolerance=0.1),)
    )
    assert described.canonical() == A.canonical()


def test_merged_table_has_its_quarantine_after_it() -> None:
    tables = TableSet((A, BRONZE, MERGED), Path())
    assert [table.name for table in tables] == [
        "silver.a",
        "bronze.c",
        "silver.c",
        "quarantine.c",
    ]
    refused = tables["quarantine.c"]
    assert [column.name for column in refused.columns] == [
        *(c.name for c in BRONZE.columns),
        "_rule",
    ]
    assert tables.layer("quarantine") == (refused,) and tables.query(refused) == ""


def test_latest_row_is_known_by_the_declared_columns_first() -> None:
    table = dataclasses.replace(MERGED, latest=("_source_row", "x"))
    assert table.order == ("_source_row", "x", "_source_file", "_ingested_at")
    assert table["x"].required
    with pytest.raises(KeyError):
        table["y"]
