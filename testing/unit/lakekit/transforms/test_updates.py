from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import lakekit
from lakekit.declarations.tables import Expectation, Table, TableSet
from lakekit.errors import ComputeError, DeclarationError, ExpectationFailedError

HEADER = "name,age,seen,weight\n"


def replaced(tables: TableSet, table: Table) -> TableSet:
    """Return the tables, after the declaration of one table was replaced."""
    kept = [each for each in tables if each.layer != "quarantine"]
    return TableSet(
        tuple(table if each.name == table.name else each for each in kept), tables.sql
    )


def test_every_row_is_counted(source: Path, tables: TableSet, tmp_path: Path) -> None:
    rows = (
        "Ada,37,NA,NA\nDi,200,NA,NA\nEd,old,NA,NA\n"
        "Ada,36,NA,NA\nFlo,5,NA,NA\nNA,1,NA,NA\n"
    )
    (source / "people.csv").write_text(HEADER + rows)
    counts = lakekit.run(source, tmp_path / "lake", tables=tables)[
        "silver.people"
    ].counts
    assert (counts.read, counts.inserted, counts.superseded, counts.quarantined) == (
        6,
        2,
        1,
        3,
    )
    assert counts.expectations == {"age is a person's": 1}


def test_merge_whose_sql_drops_rows_is_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tables.sql / "people.sql").write_text(
        tables.query(tables["silver.people"]).rstrip() + " where age <> 'NA'"
    )
    with pytest.raises(
        DeclarationError, match="its SQL returns 2 rows for 3 input rows"
    ) as caught:
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert "to drop rows, declare expectations" in str(caught.value)


def test_expectation_that_must_be_met_stops_before_the_table_is_written(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    must = (Expectation("someone is old", "age > 90", "fail"),)
    strict = replaced(
        tables, dataclasses.replace(tables["gold.ages"], expectations=must)
    )
    with pytest.raises(
        ExpectationFailedError,
        match="gold.ages: 2 rows do not meet the expectation 'someone is old'",
    ):
        lakekit.run(source, tmp_path / "lake", tables=strict)
    assert lakekit.show("gold.ages", tmp_path / "lake", tables=strict).rows == ()


def test_two_rows_of_one_key_are_refused(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    columns = tuple(
        dataclasses.replace(c, required=True) for c in tables["gold.ages"].columns
    )
    keyed = replaced(
        tables,
        dataclasses.replace(tables["gold.ages"], columns=columns, key=("people",)),
    )
    (tables.sql / "ages.sql").write_text(
        "select coalesce(age, 0) as age, 1 as people from silver.people"
    )
    with pytest.raises((ComputeError, DeclarationError), match="gold.ages"):
        lakekit.run(source, tmp_path / "lake", tables=keyed)
