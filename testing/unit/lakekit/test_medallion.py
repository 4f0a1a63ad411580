from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.errors import LakeRefused, SourceError, StorageError, TooManyMisfits
from lakekit.medallion import RunResult
from lakekit.tables import TableSet

Files = Callable[[Path], Dict[str, bytes]]
HEADER = "name,age,seen,weight\n"


def changed(result: RunResult) -> List[str]:
    return [table.table for table in result.tables if table.changed]


def test_first_run_writes_each_table_and_the_second_none(
    source: Path, tables: TableSet, tmp_path: Path, files: Files
) -> None:
    first = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert [(t.table, t.mode, t.rows) for t in first.tables] == [
        ("bronze.people", "appended", 3),
        ("silver.people", "whole", 3),
        ("quarantine.people", "unchanged", 0),
        ("gold.ages", "whole", 2),
    ]
    before = files(tmp_path / "lake")
    second = lakekit.run(str(source), str(tmp_path / "lake"), tables=tables)
    assert first.changed and not second.changed
    assert {t.mode for t in second.tables} == {"unchanged"}
    assert files(tmp_path / "lake") == before
    with pytest.raises(KeyError):
        first["gold.none"]


def test_file_that_was_changed_is_a_new_file_and_its_rows_win(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    (source / "people.csv").write_text(HEADER + "Ada,37,NA,NA\nDi,7,NA,NA\n")
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    counts = result["silver.people"].counts
    assert (counts.read, counts.inserted, counts.updated) == (2, 1, 1)
    found = lakekit.show("silver.people", tmp_path / "lake", tables=tables).rows
    assert {row["name"]: row["age"] for row in found} == {"Ada": 37, "Bob": None, "Cy": 36, "Di": 7}


def test_changed_sql_makes_its_table_anew_and_no_other(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    ages = tables.sql / "ages.sql"
    ages.write_text(
        ages.read_text().replace("from silver.people", "from silver.people where age is not null")
    )
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert (
        changed(result) == ["gold.ages"] and result["gold.ages"].why == "its declaration or its SQL changed"
    )


def test_gold_follows_rows_that_another_writer_deleted(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    DeltaTable(str(tmp_path / "lake/silver/people")).delete("name = 'Ada'")
    assert changed(lakekit.run(source, tmp_path / "lake", tables=tables)) == ["gold.ages"]
    found = lakekit.show("gold.ages", tmp_path / "lake", tables=tables).rows
    assert {row["age"]: row["people"] for row in found} == {None: 1, 36: 1}


def test_quarantine_that_loses_a_row_counts_as_changed(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    with (source / "people.csv").open("a") as file:
        file.write("Old,200,NA,NA\n")
    assert lakekit.run(source, tmp_path / "lake", tables=tables)["quarantine.people"].rows == 1
    DeltaTable(str(tmp_path / "lake/bronze/people")).delete("name = 'Old'")
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert result["quarantine.people"].rows == 0 and "quarantine.people" in changed(result)
    assert result["silver.people"].why == "rows were removed from bronze.people"


def test_column_of_too_many_misfits_is_refused_and_nothing_written(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_text(HEADER + "Ada,a,NA,NA\nBob,b,NA,NA\nCy,3,NA,NA\n")
    with pytest.raises(TooManyMisfits, match="column age: 2 of 3 values are no int; at most 50% may fail"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


def test_source_is_needed_the_first_time_only(source: Path, tables: TableSet, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="There is no file of people"):
        lakekit.run(tmp_path / "none", tmp_path / "lake", tables=tables)
    lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not lakekit.run(tmp_path / "none", tmp_path / "lake", tables=tables).changed


def test_foreign_folder_is_refused(source: Path, tables: TableSet) -> None:
    with pytest.raises(LakeRefused):
        lakekit.run(source, source, tables=tables)


def test_progress_reaches_its_end(source: Path, tables: TableSet, tmp_path: Path) -> None:
    seen: List[Tuple[str, int, int]] = []
    lakekit.run(source, tmp_path / "lake", tables=tables, progress=lambda *step: seen.append(step))
    names = ["check people.csv", "bronze.people from people.csv", "silver.people", "gold.ages", ""]
    assert seen == [(name, done, 4) for done, name in enumerate(names)]


def test_folder_that_cannot_be_made_is_a_storage_error(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Not a directory"):
        lakekit.run(source, tmp_path / "file" / "lake", tables=tables)
