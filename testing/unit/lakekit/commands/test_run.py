from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.commands.run import RunResult
from lakekit.declarations.tables import Column, Source, TableSet, bronze
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.errors import (
    ConversionError,
    InvalidLakeError,
    LakekitError,
    SourceError,
    StorageError,
)
from lakekit.sources import csv
from lakekit.transforms.updates import Updates

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
    assert {row["name"]: row["age"] for row in found} == {
        "Ada": 37,
        "Bob": None,
        "Cy": 36,
        "Di": 7,
    }


def test_changed_sql_rebuilds_its_table_and_no_other(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    ages = tables.sql / "ages.sql"
    ages.write_text(
        ages.read_text().replace(
            "from silver.people", "from silver.people where age is not null"
        )
    )
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert (
        changed(result) == ["gold.ages"]
        and result["gold.ages"].why == "its declaration or its SQL changed"
    )


def test_gold_follows_rows_that_another_writer_deleted(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    lakekit.run(source, tmp_path / "lake", tables=tables)
    DeltaTable(str(tmp_path / "lake/silver/people")).delete("name = 'Ada'")
    assert changed(lakekit.run(source, tmp_path / "lake", tables=tables)) == [
        "gold.ages"
    ]
    found = lakekit.show("gold.ages", tmp_path / "lake", tables=tables).rows
    assert {row["age"]: row["people"] for row in found} == {None: 1, 36: 1}


def test_quarantine_that_loses_a_row_counts_as_changed(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    with (source / "people.csv").open("a") as file:
        file.write("Old,200,NA,NA\n")
    assert (
        lakekit.run(source, tmp_path / "lake", tables=tables)["quarantine.people"].rows
        == 1
    )
    DeltaTable(str(tmp_path / "lake/bronze/people")).delete("name = 'Old'")
    result = lakekit.run(source, tmp_path / "lake", tables=tables)
    assert result["quarantine.people"].rows == 0 and "quarantine.people" in changed(
        result
    )
    assert result["silver.people"].why == "rows were removed from bronze.people"


def test_column_of_too_many_misfits_is_refused_and_nothing_written(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_text(
        HEADER + "Ada,a,NA,NA\nBob,b,NA,NA\nCy,3,NA,NA\n"
    )
    with pytest.raises(
        ConversionError,
        match="column age: 2 of 3 values do not convert to int; at most 50% may fail",
    ):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.mark.parametrize("rows", LINE_ENDS.values(), ids=list(LINE_ENDS))
@pytest.mark.parametrize("heading", LINE_ENDS.values(), ids=list(LINE_ENDS))
def test_file_with_a_line_break_in_a_heading_is_refused(
    heading: str, rows: str, tables: TableSet, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [
        f'name,age,seen,weight,"unit{heading}price"',
        "Ada,36,NA,NA,1",
        "Bob,37,NA,NA,2",
    ]
    (folder / "people.csv").write_bytes("".join(line + rows for line in lines).encode())
    with pytest.raises(
        SourceError,
        match="people.csv has a column named 'unit.*price'; .*not contain line breaks",
    ):
        lakekit.run(folder, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("rows", LINE_ENDS.values(), ids=list(LINE_ENDS))
def test_line_breaks_in_values_are_kept_as_they_are(
    rows: str, tables: TableSet, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    values = [f"x{end}y" for end in LINE_ENDS.values()]
    lines = [
        "name,age,seen,weight,note",
        *(f'p{value!r},1,NA,NA,"{value}"' for value in values),
    ]
    (folder / "people.csv").write_bytes("".join(line + rows for line in lines).encode())
    assert (
        lakekit.run(folder, tmp_path / "lake", tables=tables)["silver.people"].rows == 3
    )
    stored = (
        DeltaTable(str(tmp_path / "lake/bronze/people")).to_pyarrow_dataset().to_table()
    )
    assert (
        stored["_source_row"].to_pylist() == [1, 2, 3]
        and stored["note"].to_pylist() == values
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # DuckDB treats a quote after a space as the start of a quoted value.
        (
            'Ada,36,NA, "NA\nBob,36,NA,NA"\n',
            "people.csv, line 2: a value has spaces before its quote",
        ),
        (
            "Ada,36,NA,NA\nBob,36,NA,NA\r\n",
            "people.csv, line 3: ends in CRLF, line 1 in LF;"
            " all line ends must be the same",
        ),
        (
            "Ada,36,NA,NA\nBob,36,NA\nCy,36,NA,NA,\n",
            "people.csv, line 3: has 3 values, but the header has 4",
        ),
        (
            "Ada,36,NA,NA\nBob,36,NA,NA,\n",
            "people.csv, line 3: has 5 values, but the header has 4",
        ),
    ],
)
def test_file_that_is_not_read_whole_is_refused_and_nothing_written(
    content: str, said: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (source / "people.csv").write_bytes((HEADER + content).encode())
    with pytest.raises(SourceError, match=f"{said}. Nothing was written"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("read", [0, 2, 4])
def test_run_refuses_a_file_if_the_engine_reads_more_or_fewer_rows(
    read: int,
    suffix: str,
    source: Path,
    tables: TableSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (source / "people.csv").read_bytes()
    (source / "people.csv").unlink()
    if suffix == ".parquet":
        header, *rows = [line.split(",") for line in text.decode().splitlines()]
        pq.write_table(
            pa.table(dict(zip(header, zip(*rows)))), source / "people.parquet"
        )
    else:
        (source / f"people{suffix}").write_bytes(
            gzip.compress(text) if suffix == ".csv.gz" else text
        )
    inspect = EmbeddedEngine.inspect
    monkeypatch.setattr(
        EmbeddedEngine, "inspect", lambda *given: replace(inspect(*given), rows=read)
    )
    with pytest.raises(
        SourceError, match=f"people{suffix} has 3 rows, but {read} were read from it"
    ):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


def test_blank_lines_of_one_column_are_no_rows(tmp_path: Path) -> None:
    tables = TableSet((bronze(Source("a", (Column("id"),))),), tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text('id\n1\n\n""\n3\n\n')
    lakekit.run(tmp_path / "in", tmp_path / "lake", tables=tables)
    found = lakekit.show("bronze.a", tmp_path / "lake", tables=tables).rows
    assert [(row["_source_row"], row["id"]) for row in found] == [
        (1, "1"),
        (2, ""),
        (3, "3"),
    ]


def test_equal_files_of_two_sources_are_rows_of_both(tmp_path: Path) -> None:
    sources = (Source("a", (Column("id", "int"),)), Source("b", (Column("id", "int"),)))
    tables = TableSet(tuple(map(bronze, sources)), tmp_path)
    folder, lake = tmp_path / "in", tmp_path / "lake"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_text("id\n1\n")
    first = lakekit.run(folder, lake, tables=tables)
    assert [(each.table, each.rows) for each in first.tables] == [
        ("bronze.a", 1),
        ("bronze.b", 1),
    ]
    assert not lakekit.run(folder, lake, tables=tables).changed
    for name in ("a", "b"):
        (row,) = lakekit.show(f"bronze.{name}", lake, tables=tables).rows
        assert (row["id"], row["_source_file"]) == ("1", f"{name}.csv")
        (file,) = DeltaTable(str(lake / "bronze" / name)).file_uris()
        assert Path(file).exists()


def test_source_is_needed_the_first_time_only(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="There is no file of people"):
        lakekit.run(tmp_path / "none", tmp_path / "lake", tables=tables)
    lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not lakekit.run(tmp_path / "none", tmp_path / "lake", tables=tables).changed


def test_foreign_folder_is_refused(source: Path, tables: TableSet) -> None:
    with pytest.raises(InvalidLakeError):
        lakekit.run(source, source, tables=tables)


def test_progress_reaches_its_end(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    seen: List[Tuple[str, int, int]] = []
    lakekit.run(
        source,
        tmp_path / "lake",
        tables=tables,
        progress=lambda *step: seen.append(step),
    )
    names = [
        "bronze.people: open people.csv",
        "bronze.people: read people.csv",
        "bronze.people: write people.csv",
        "silver.people: update",
        "gold.ages: update",
        "",
    ]
    assert seen == [(name, done, 5) for done, name in enumerate(names)]


def test_progress_of_a_run_without_new_files_has_fewer_steps(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    seen: List[Tuple[str, int, int]] = []
    lakekit.run(source, tmp_path / "lake", tables=tables)
    lakekit.run(
        source,
        tmp_path / "lake",
        tables=tables,
        progress=lambda *step: seen.append(step),
    )
    assert seen == [
        ("bronze.people: open people.csv", 0, 5),
        ("silver.people: update", 1, 3),
        ("gold.ages: update", 2, 3),
        ("", 3, 3),
    ]


def test_seconds_of_a_table_are_those_of_its_steps(
    source: Path, tables: TableSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def takes(seconds: float, owner: Any, name: str) -> None:
        """Replace a function by a wrapper that also advances the test's clock by
        `seconds`.
        """
        function = getattr(owner, name)

        def slow(*args: Any, **options: Any) -> Any:
            now[0] += seconds
            return function(*args, **options)

        monkeypatch.setattr(owner, name, slow)

    takes(3, csv, "read")
    takes(20, EmbeddedEngine, "inspect")
    takes(1, EmbeddedEngine, "append")
    takes(100, Updates, "update")
    result = lakekit.run(source, tmp_path / "lake", tables=tables, clock=lambda: now[0])
    seconds = {table.table: table.seconds for table in result.tables}
    assert seconds == {
        "bronze.people": 24,
        "silver.people": 100,
        "quarantine.people": 0,
        "gold.ages": 100,
    }
    assert result.seconds == 224


def test_folder_that_cannot_be_made_is_a_storage_error(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Not a directory"):
        lakekit.run(source, tmp_path / "file" / "lake", tables=tables)


@pytest.mark.parametrize(
    ("settings", "code", "what"),
    [
        ({"memory": "2GiBs"}, 2, "'2GiBs' is not a size"),
        ({"memory": "1MB"}, 3, "DuckDB ran out of memory"),
        ({"scratch": Path("/nowhere/x")}, 2, "/nowhere/x does not exist"),
    ],
)
def test_setting_that_no_run_can_have_is_named(
    settings: Dict[str, Any],
    code: int,
    what: str,
    source: Path,
    tables: TableSet,
    tmp_path: Path,
) -> None:
    with pytest.raises(LakekitError, match=what) as caught:
        lakekit.run(source, tmp_path / "lake", tables=tables, **settings)
    assert caught.value.exit_code == code and caught.value.next_step
