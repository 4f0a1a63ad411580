from __future__ import annotations

from pathlib import Path

import pytest

from lakekit.declarations.tables import Column, Table
from lakekit.errors import InvalidLakeError, StorageError
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import FolderLogFiles, log_files

TABLE = Table("gold.t", (Column("k"),))


@pytest.fixture
def files(tmp_path: Path) -> FolderLogFiles:
    (tmp_path / "gold/t/_delta_log").mkdir(parents=True)
    return FolderLogFiles(str(tmp_path / "gold/t"))


def test_file_of_the_log_is_created_once(files: FolderLogFiles) -> None:
    files.create("0.json", b"first")
    with pytest.raises(FileExistsError):
        files.create("0.json", b"second")
    assert (files.names(), files.read("0.json")) == (["0.json"], b"first")


def test_data_files_are_found_with_their_sizes(files: FolderLogFiles) -> None:
    files.create("0.json", b"first")
    part = Path(files.location, "p=a%20b", "part-0.parquet")
    part.parent.mkdir()
    part.write_bytes(b"123")
    assert files.data_files() == {"p=a%20b/part-0.parquet": 3}


def test_table_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    files = FolderLogFiles(str(tmp_path / "none"))
    assert (files.names(), files.data_files()) == ([], {})
    with pytest.raises(StorageError, match="No such file"):
        files.read("0.json")


def test_lake_says_where_the_files_are(tmp_path: Path) -> None:
    lake = Lake("folder", str(tmp_path))
    assert log_files(lake, TABLE).location == f"{tmp_path}/gold/t"
    with pytest.raises(InvalidLakeError, match="Spark"):
        log_files(Lake("schema", "main.flights"), TABLE)
