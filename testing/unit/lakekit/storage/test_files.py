from __future__ import annotations

from pathlib import Path

import pytest

from lakekit.storage.files import FolderStorage, S3Storage, storage_of
from lakekit.storage.lake import Lake


def test_kind_of_lake_has_its_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert isinstance(storage_of(Lake("folder", "/lake"), tmp_path), FolderStorage)
    storage = storage_of(Lake("s3", "s3://bucket/lake"), tmp_path)
    assert isinstance(storage, S3Storage)
    folders = {
        storage.staging(f"s3://bucket/lake/{name}") for name in ("gold/a", "gold/b")
    }
    assert len(folders) == 2 and all(tmp_path in folder.parents for folder in folders)


@pytest.mark.parametrize("name", ["part-1.parquet", "p=a%2Fb/part-1.parquet"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_of_a_folder_are_found_where_they_are(
    name: str, scheme: str, tmp_path: Path
) -> None:
    file = tmp_path / "lake with space" / name
    file.parent.mkdir(parents=True)
    file.touch()
    storage = FolderStorage()
    assert storage.fetch("", [f"{scheme}{file}"]) == [file]
    assert storage.fetch(
        "", [f"{scheme}{file}".replace(" ", "%20").replace("%2F", "%252F")]
    ) == [file]


@pytest.mark.parametrize(
    "name", ["part-1.parquet", "p=a%2Fb/part-1.parquet", "p=x y/part-1.parquet"]
)
def test_file_that_is_not_as_the_log_says_is_damaged(name: str, tmp_path: Path) -> None:
    file, storage = tmp_path / name, FolderStorage()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"1234")
    quoted = name.replace("%", "%25").replace(" ", "%20")
    for given in (name, quoted):
        assert storage.damaged(str(tmp_path), {given: 4}) == {}
        wrong = "has 4 bytes instead of 1,234"
        assert storage.damaged(str(tmp_path), {given: 1234}) == {
            f"{tmp_path}/{given}": wrong
        }
    clone = "file:/another/table/part-1.parquet"
    assert storage.damaged(str(tmp_path), {"part-2.parquet": 4, name: 4, clone: 4}) == {
        f"{tmp_path}/part-2.parquet": "is missing"
    }


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="part-9"):
        FolderStorage().fetch(str(tmp_path), [str(tmp_path / "part-9.parquet")])
