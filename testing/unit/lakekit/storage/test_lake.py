from __future__ import annotations

from pathlib import Path

import pytest

from lakekit.declarations.tables import TableSet
from lakekit.errors import InvalidLakeError
from lakekit.storage.lake import Lake, check_lake, find_lake


def test_new_and_empty_folders_become_lakes(tmp_path: Path, tables: TableSet) -> None:
    check_lake(find_lake(tmp_path / "new"), tables)
    check_lake(find_lake(tmp_path / "sql" / "deeper"), tables)
    (tmp_path / "empty").mkdir()
    check_lake(find_lake(tmp_path / "empty"), tables)


def test_lake_with_a_table_that_nobody_declared_is_a_lake(
    tmp_path: Path, tables: TableSet
) -> None:
    (tmp_path / "lake" / "gold" / "mine" / "_delta_log").mkdir(parents=True)
    check_lake(find_lake(tmp_path / "lake"), tables)


def test_data_files_of_a_killed_first_run_are_no_obstacle(
    tmp_path: Path, tables: TableSet
) -> None:
    folder = tmp_path / "lake" / "bronze" / "people"
    folder.mkdir(parents=True)
    (folder / "part-1.parquet").touch()
    check_lake(find_lake(tmp_path / "lake"), tables)


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
    with pytest.raises(InvalidLakeError, match=f"is not a lake.*{named}"):
        check_lake(find_lake(tmp_path / "lake"), tables)


def test_file_is_no_lake(tmp_path: Path, tables: TableSet) -> None:
    (tmp_path / "lake").touch()
    with pytest.raises(InvalidLakeError, match="is a file"):
        check_lake(find_lake(tmp_path / "lake"), tables)


@pytest.mark.parametrize(
    ("name", "kind", "root"),
    [
        ("s3://bucket/some/prefix/", "s3", "s3://bucket/some/prefix"),
        ("s3a://bucket", "s3", "s3://bucket"),
        ("main.flights", "schema", "main.flights"),
        ("/lakes/flights", "folder", "/lakes/flights"),
    ],
)
def test_name_says_what_kind_of_lake(name: str, kind: str, root: str) -> None:
    lake = find_lake(name)
    assert (lake.kind, str(lake)) == (kind, root)


def test_table_has_its_place_in_each_kind_of_lake(tables: TableSet) -> None:
    table = tables["gold.ages"]
    assert Lake("folder", "/lake").location(table) == "/lake/gold/ages"
    assert Lake("s3", "s3://b/p").location(table) == "s3://b/p/gold/ages"
    assert Lake("schema", "main.shop").location(table) == "main.shop.gold_ages"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s3://", "names no bucket"),
        ("gs://bucket", "neither a folder nor on S3"),
        ("dbfs:/lake", "neither a folder nor on S3"),
        ("/Volumes/main/x/lake", "two writers can both write the same version"),
        ("/lakes/50%", "has a % in its path"),
        ("/lakes/month=7/lake", "has a = in its path"),
    ],
)
def test_place_that_cannot_hold_a_lake_is_refused_with_the_reason(
    name: str, reason: str
) -> None:
    with pytest.raises(InvalidLakeError, match=reason):
        find_lake(name)


def test_lake_that_is_no_folder_is_not_looked_into(tables: TableSet) -> None:
    check_lake(Lake("s3", "s3://bucket"), tables)
