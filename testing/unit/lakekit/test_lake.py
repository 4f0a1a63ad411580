from __future__ import annotations

from pathlib import Path

import pytest

from lakekit.errors import LakeRefused
from lakekit.lake import check_lake
from lakekit.tables import TableSet


def test_new_and_empty_folders_become_lakes(tmp_path: Path, tables: TableSet) -> None:
    check_lake(tmp_path / "new", tables)
    check_lake(tmp_path / "sql" / "deeper", tables)
    (tmp_path / "empty").mkdir()
    check_lake(tmp_path / "empty", tables)


def test_lake_with_a_table_that_nobody_declared_is_a_lake(tmp_path: Path, tables: TableSet) -> None:
    (tmp_path / "lake" / "gold" / "mine" / "_delta_log").mkdir(parents=True)
    check_lake(tmp_path / "lake", tables)


def test_data_files_of_a_killed_first_run_are_no_obstacle(tmp_path: Path, tables: TableSet) -> None:
    folder = tmp_path / "lake" / "bronze" / "people"
    folder.mkdir(parents=True)
    (folder / "part-1.parquet").touch()
    check_lake(tmp_path / "lake", tables)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("notes.txt", "notes.txt"),
        ("gold", "gold"),
        ("iron/people/_delta_log/0.json", "iron"),
        ("bronze/people/people.csv", "people"),
        ("bronze/notes.txt", "notes.txt"),
        ("bronze/strangers/part-1.parquet", "strangers"),
    ],
)
def test_folder_that_holds_anything_else_is_refused(
    path: str, named: str, tmp_path: Path, tables: TableSet
) -> None:
    foreign = tmp_path / "lake" / path
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    with pytest.raises(LakeRefused, match=f"is no lake.*{named}"):
        check_lake(tmp_path / "lake", tables)


def test_file_is_no_lake(tmp_path: Path, tables: TableSet) -> None:
    (tmp_path / "lake").touch()
    with pytest.raises(LakeRefused, match="is a file"):
        check_lake(tmp_path / "lake", tables)
