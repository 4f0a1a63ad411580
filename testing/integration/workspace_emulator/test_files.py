"""Tests volumes and the Files API through the SDK, because databricks-cli 0.18 supports
neither of them.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    NotFound,
    NotImplemented,
    ResourceConflict,
)
from databricks.sdk.service.catalog import VolumeType


def test_an_upload_is_read_back_whole(sdk: WorkspaceClient, volume: str) -> None:
    whole = bytes(range(256)) * 20_000
    sdk.files.upload(f"{volume}/a/b/data.bin", io.BytesIO(whole))
    assert sdk.files.get_metadata(f"{volume}/a/b/data.bin").content_length == len(whole)
    answer = sdk.files.download(f"{volume}/a/b/data.bin")
    assert answer.contents is not None and answer.contents.read() == whole
    listed = {
        each.name: each.file_size
        for each in sdk.files.list_directory_contents(f"{volume}/a/b")
    }
    assert listed == {"data.bin": len(whole)}


def test_of_many_that_may_not_overwrite_one_wins(
    sdk: WorkspaceClient, volume: str
) -> None:
    def claim(number: int) -> str:
        try:
            sdk.files.upload(
                f"{volume}/lock", io.BytesIO(str(number).encode()), overwrite=False
            )
        except AlreadyExists:
            return "refused"
        return str(number)

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(claim, range(8)))
    [winner] = [each for each in said if each != "refused"]
    answer = sdk.files.download(f"{volume}/lock")
    assert answer.contents is not None and answer.contents.read().decode() == winner


def test_folders_are_made_seen_and_removed(sdk: WorkspaceClient, volume: str) -> None:
    sdk.files.create_directory(f"{volume}/new/deep")
    sdk.files.get_directory_metadata(f"{volume}/new/deep")
    with pytest.raises(BadRequest) as refused:
        sdk.files.delete_directory(f"{volume}/new")
    assert refused.value.error_code == "DIRECTORY_NOT_EMPTY"
    sdk.files.delete_directory(f"{volume}/new/deep")
    with pytest.raises(NotFound):
        sdk.files.get_directory_metadata(f"{volume}/new/deep")


def test_a_deleted_file_is_gone(sdk: WorkspaceClient, volume: str) -> None:
    sdk.files.upload(f"{volume}/gone.txt", io.BytesIO(b"x"))
    sdk.files.delete(f"{volume}/gone.txt")
    with pytest.raises(NotFound):
        sdk.files.download(f"{volume}/gone.txt")
    with pytest.raises(NotFound):
        sdk.files.delete(f"{volume}/gone.txt")


def test_nothing_lies_outside_a_volume(sdk: WorkspaceClient) -> None:
    with pytest.raises(
        NotFound, match="Volume 'spark_catalog.default.none' does not exist"
    ):
        sdk.files.upload("/Volumes/spark_catalog/default/none/x", io.BytesIO(b""))
    with pytest.raises(
        NotFound,
        match="Catalog 'main' does not exist; the emulator has only 'spark_catalog'",
    ):
        sdk.files.upload("/Volumes/main/default/none/x", io.BytesIO(b""))
    with pytest.raises(BadRequest, match="Only /Volumes"):
        sdk.files.upload("/Volumes/x", io.BytesIO(b""))


def test_uploads_in_parts_say_that_they_are_not_emulated(
    sdk: WorkspaceClient, volume: str
) -> None:
    with pytest.raises(NotImplemented, match="does not emulate POST /api/2.0/fs/files"):
        sdk.api_client.do("POST", f"/api/2.0/fs/files{volume}/x?action=initiate-upload")


def test_schemas_and_volumes_are_made_listed_and_removed(sdk: WorkspaceClient) -> None:
    assert [each.name for each in sdk.catalogs.list()] == ["spark_catalog"]
    assert sdk.catalogs.get("spark_catalog").name == "spark_catalog"
    sdk.schemas.create(name="short", catalog_name="spark_catalog")
    sdk.volumes.create("spark_catalog", "short", "lived", VolumeType.MANAGED)
    assert sdk.schemas.get("spark_catalog.short").full_name == "spark_catalog.short"
    assert "short" in [each.name for each in sdk.schemas.list("spark_catalog")]
    assert [each.name for each in sdk.volumes.list("spark_catalog", "short")] == [
        "lived"
    ]
    with pytest.raises(ResourceConflict, match="already exists"):
        sdk.volumes.create("spark_catalog", "short", "lived", VolumeType.MANAGED)
    with pytest.raises(BadRequest, match="not empty"):
        sdk.schemas.delete("spark_catalog.short")
    assert (
        sdk.volumes.read("spark_catalog.short.lived").volume_type is VolumeType.MANAGED
    )
    sdk.volumes.delete("spark_catalog.short.lived")
    with pytest.raises(NotFound):
        sdk.volumes.read("spark_catalog.short.lived")
    sdk.schemas.delete("spark_catalog.short")
    with pytest.raises(NotFound):
        sdk.schemas.get("spark_catalog.short")
