from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import lakekit
from lakekit.declarations.tables import TableSet
from lakekit.errors import InvalidLakeError, UnknownTableError


def test_first_rows_in_the_order_of_the_table(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    found = lakekit.show("silver.people", tmp_path / "lake", limit=1, tables=tables)
    assert (found.table, found.version) == (
        "silver.people",
        2,
    )  # three commits: create the table, add a constraint, add rows
    assert found.columns[:4] == ("name", "age", "seen", "_source_file")
    seen = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc)
    assert [(row["name"], row["age"], row["seen"]) for row in found.rows] == [
        ("Ada", 36, seen)
    ]


def test_table_that_is_not_there_yet_says_what_makes_it(
    tables: TableSet, tmp_path: Path
) -> None:
    with pytest.raises(InvalidLakeError, match="holds no table gold.ages") as caught:
        lakekit.show("gold.ages", tmp_path / "none", tables=tables)
    assert (
        caught.value.next_step == f"lakekit run --source DIR --lake {tmp_path / 'none'}"
    )
    assert not (tmp_path / "none").exists()


def test_unknown_table_is_told_before_anything_is_opened(
    tables: TableSet, tmp_path: Path
) -> None:
    with pytest.raises(UnknownTableError, match="gold.age"):
        lakekit.show("gold.age", tmp_path / "none", tables=tables)
