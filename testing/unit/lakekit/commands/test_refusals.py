"""Tests runs with two sources, of which only one has faulty files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Callable, Iterator, Set

import pytest

import lakekit
from lakekit.cli.main import call
from lakekit.commands.init import TEMPLATE
from lakekit.commands.refusals import Policy
from lakekit.declarations.tables import Column, Source, Table, TableSet, bronze
from lakekit.errors import (
    RefusedFilesError,
    SourceError,
    UnreadableFilesError,
    UnreadableSourceError,
)

HEADER = "name,age,seen,weight\n"
PETS = Source("pets", (Column("name"), Column("owner")))
OWNERS = Table(
    "gold.owners",
    (Column("owner"),),
    reads=("bronze.pets", "gold.ages"),
    sql="owners.sql",
)
ALL = ["bronze.people", "silver.people", "quarantine.people", "gold.ages"]
PET_TABLES = ["bronze.pets", "gold.owners"]


@pytest.fixture
def both(tables: TableSet, source: Path, sql: Path) -> TableSet:
    """Return the tables of two sources, people and pets. The table gold.owners depends
    on both sources.
    """
    (sql / "owners.sql").write_text(
        "select p.owner from bronze.pets p left join gold.ages a on a.people = 99"
    )
    (source / "pets").mkdir()
    (source / "pets/a.csv").write_text("name,owner\nRex,Ada\n")
    people = [table for table in tables if table.layer != "quarantine"]
    return TableSet((*people, bronze(PETS), OWNERS), sql)


def written(lake: Path) -> list[str]:
    return sorted(
        f"{log.parents[1].name}.{log.parent.name}"
        for log in lake.glob("*/*/_delta_log")
    )


FAULTS = {
    "empty": ("", "b.csv is empty"),
    "no-rows": ("name,owner\n", "b.csv has a header and no rows"),
    "no-column": ("name\nx\n", "b.csv has no column owner"),
    "values": ("name,owner\nx\n", "b.csv, line 2: has 1 values, but the header has 2"),
    "quote": ('name,owner\nx,"y\n', "b.csv, line 2: a quoted value is never closed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_file_stops_the_tables_that_read_it_and_no_other(
    fault: str, both: TableSet, source: Path, tmp_path: Path
) -> None:
    content, reason = FAULTS[fault]
    (source / "pets/b.csv").write_text(content)
    with pytest.raises(RefusedFilesError) as refused:
        lakekit.run(source, tmp_path / "lake", tables=both)
    assert refused.value.tables == tuple(PET_TABLES) and refused.value.exit_code == 2
    assert len(refused.value.files) == 1 and reason in refused.value.files[0]
    assert written(tmp_path / "lake") == sorted(ALL)
    (source / "pets/b.csv").write_text("name,owner\nTom,Bob\n")
    result = lakekit.run(source, tmp_path / "lake", tables=both)
    assert [t.table for t in result.tables if t.changed] == PET_TABLES
    assert result["gold.owners"].rows == 2


UNREADABLE = Path("/proc/self/mem")
"""A file that can be opened. Reading the file's first byte raises an I/O error."""


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.csv.zip", "b.parquet"])
@pytest.mark.skipif(not UNREADABLE.exists(), reason="this system has no such file")
def test_file_with_an_io_error_stops_the_tables_that_read_it_and_no_other(
    name: str, both: TableSet, source: Path, tmp_path: Path
) -> None:
    (source / "pets" / name).symlink_to(UNREADABLE)
    with pytest.raises(RefusedFilesError, match=f"{name} ") as refused:
        lakekit.run(source, tmp_path / "lake", tables=both)
    assert refused.value.tables == tuple(PET_TABLES)
    assert written(tmp_path / "lake") == sorted(ALL)
    result = lakekit.run(source, tmp_path / "lake", tables=both, refused="skip")
    assert [t.table for t in result.tables if t.changed] == PET_TABLES
    assert name in result["bronze.pets"].refused[0]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return a function that makes `Path.open` fail for a file. File permissions would
    have no effect if root runs the tests.
    """
    is_open = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        if path in forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return is_open(path, *args, **options)

    forbidden: Set[Path] = set()
    monkeypatch.setattr(Path, "open", opened)
    return forbidden.add


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet"])
def test_file_without_permission_has_the_exit_code_of_permissions(
    name: str,
    both: TableSet,
    source: Path,
    tmp_path: Path,
    forbid: Callable[[Path], None],
) -> None:
    (source / "pets" / name).write_text("name,owner\nTom,Bob\n")
    forbid(source / "pets" / name)
    with pytest.raises(UnreadableFilesError, match="Permission denied") as refused:
        lakekit.run(source, tmp_path / "lake", tables=both)
    assert refused.value.exit_code == 3 and refused.value.tables == tuple(PET_TABLES)
    assert f"{source}/pets/{name} cannot be read" in refused.value.files[0]
    (source / "people.csv").write_text("")
    with pytest.raises(RefusedFilesError) as mixed:
        lakekit.run(source, tmp_path / "other", tables=both)
    assert mixed.value.exit_code == 2 and len(mixed.value.files) == 2


def test_folder_without_permission_stops_its_source(
    both: TableSet, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_read = Path.iterdir

    def read(path: Path) -> Iterator[Path]:
        if path == source / "pets":
            raise PermissionError(13, "Permission denied", str(path))
        return is_read(path)

    monkeypatch.setattr(Path, "iterdir", read)
    with pytest.raises(UnreadableFilesError, match=f"{source}/pets cannot be read"):
        lakekit.run(source, tmp_path / "lake", tables=both)
    assert written(tmp_path / "lake") == sorted(ALL)


def test_only_unreadable_file_of_the_only_source_is_raised_as_it_is(
    tables: TableSet, source: Path, tmp_path: Path, forbid: Callable[[Path], None]
) -> None:
    forbid(source / "people.csv")
    with pytest.raises(UnreadableSourceError, match="people.csv cannot be read: Perm"):
        lakekit.run(source, tmp_path / "lake", tables=tables)


@pytest.mark.parametrize("fault", ["empty", "quote"])
def test_skipped_file_stops_nothing_and_is_reported(
    fault: str, both: TableSet, source: Path, tmp_path: Path
) -> None:
    content, reason = FAULTS[fault]
    (source / "pets/b.csv").write_text(content)
    result = lakekit.run(source, tmp_path / "lake", tables=both, refused="skip")
    assert (result["bronze.pets"].rows, result["gold.owners"].rows) == (1, 1)
    (report,) = result["bronze.pets"].refused
    assert reason in report and result["bronze.people"].refused == ()
    again = lakekit.run(source, tmp_path / "lake", tables=both, refused="skip")
    assert not again.changed and again["bronze.pets"].refused == (report,)


def test_source_without_any_other_file_is_stopped_also_with_skip(
    both: TableSet, source: Path, tmp_path: Path
) -> None:
    (source / "pets/a.csv").write_text("name\nRex\n")
    with pytest.raises(RefusedFilesError) as refused:
        lakekit.run(source, tmp_path / "lake", tables=both, refused="skip")
    assert refused.value.tables == tuple(PET_TABLES)
    assert written(tmp_path / "lake") == sorted(ALL)


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_missing_source_stops_the_tables_that_read_it(
    policy: Policy,
    both: TableSet,
    source: Path,
    tmp_path: Path,
) -> None:
    (source / "people.csv").unlink()
    with pytest.raises(
        RefusedFilesError, match="There is no file of people"
    ) as refused:
        lakekit.run(source, tmp_path / "lake", tables=both, refused=policy)
    # gold.owners also depends on the source people, because it reads gold.ages.
    assert refused.value.tables == (*ALL, "gold.owners")
    assert written(tmp_path / "lake") == ["bronze.pets"]


def test_faults_of_all_sources_are_reported_together(
    both: TableSet, source: Path, tmp_path: Path
) -> None:
    (source / "people.csv").write_text(HEADER + "x,1,NA\n")
    (source / "pets/b.csv").touch()
    (source / "pets/c.csv").write_bytes(b"name,owner\n\xff,\n")
    with pytest.raises(RefusedFilesError, match="Nothing was written") as refused:
        lakekit.run(source, tmp_path / "lake", tables=both)
    assert len(refused.value.files) == 3 and not (tmp_path / "lake").exists()


def test_conversion_errors_refuse_a_file(
    both: TableSet, source: Path, tmp_path: Path
) -> None:
    folder = source / "people"
    folder.mkdir()
    (folder / "b.csv").write_text(HEADER + "x,a,b,c\n")
    result = lakekit.run(source, tmp_path / "lake", tables=both, refused="skip")
    assert result["bronze.people"].rows == 3
    (report,) = result["bronze.people"].refused
    assert "b.csv, column age: 1 of 1 values do not convert to int" in report


def test_only_fault_of_the_only_source_is_raised_as_it_is(
    tables: TableSet, source: Path, tmp_path: Path
) -> None:
    (source / "people.csv").write_text("")
    with pytest.raises(SourceError, match="people.csv is empty. Nothing was written"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


def test_command_reports_skipped_files_and_exits_with_2_for_stopped_tables(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(TEMPLATE / "data", tmp_path / "data")
    (tmp_path / "data/orders").mkdir()
    (tmp_path / "data/orders/b.csv").touch()
    arguments = ["run", "--source", str(tmp_path / "data")]
    arguments += ["--lake", str(tmp_path / "lake")]
    arguments += ["--tables", str(TEMPLATE / "tables.py")]
    assert call([*arguments, "--refused", "skip"]) == 0
    assert f"Left out: {tmp_path}/data/orders/b.csv is empty" in capsys.readouterr().err
    assert call(arguments) == 2
    assert f"Error: {tmp_path}/data/orders/b.csv is empty" in capsys.readouterr().err
