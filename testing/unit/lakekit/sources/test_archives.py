from __future__ import annotations

import gzip
import resource
import zipfile
from pathlib import Path
from typing import Iterator

import pytest

from lakekit.errors import SettingsError, SourceError, StorageError
from lakekit.sources.archives import Unpacker, bytes_of


@pytest.fixture(params=["gz", "zip"])
def bomb(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an archive of about 2 kB that contains 2 MB of zeros."""
    path = tmp_path / f"t.csv.{request.param}"
    if request.param == "gz":
        path.write_bytes(gzip.compress(bytes(2_000_000)))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("t.csv", bytes(2_000_000))
    return path


def test_archive_within_the_limits_is_unpacked(bomb: Path, tmp_path: Path) -> None:
    target = Unpacker(tmp_path / "scratch", "2MB").unpack(bomb, "a/t.csv")
    assert target == tmp_path / "scratch/a/t.csv"
    assert target.read_bytes() == bytes(2_000_000)


def test_ratio_is_limited_above_a_size(
    bomb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakekit.sources.archives.RATIO_FROM", 1_500_000)
    size = bomb.stat().st_size
    with pytest.raises(SourceError) as refused:
        Unpacker(tmp_path / "scratch").unpack(bomb, "t.csv")
    assert f"{bomb} has {size:,} bytes and unpacks to more than 2,000,000" in str(
        refused.value
    )
    assert not (tmp_path / "scratch/t.csv").exists()


def test_size_is_limited_for_all_archives_together(bomb: Path, tmp_path: Path) -> None:
    unpacker = Unpacker(tmp_path / "scratch", "3MB")
    unpacker.unpack(bomb, "t.csv")
    (tmp_path / "scratch/t.csv").unlink()
    with pytest.raises(SourceError, match="exceed the limit of 3MB"):
        unpacker.unpack(bomb, "t.csv")
    assert not (tmp_path / "scratch/t.csv").exists()


def test_free_space_is_left_to_others(
    bomb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakekit.sources.archives.FREE_CHECK", 1_000_000)
    monkeypatch.setattr("lakekit.sources.archives.MIN_FREE", 10**18)
    with pytest.raises(StorageError, match="free space"):
        Unpacker(tmp_path / "scratch").unpack(bomb, "t.csv")
    assert not (tmp_path / "scratch/t.csv").exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let this process write only files of at most 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_failed_write_names_the_unpacked_file(tmp_path: Path) -> None:
    archive = tmp_path / "t.csv.gz"
    archive.write_bytes(gzip.compress(bytes(2_000_000)))
    with pytest.raises(StorageError, match="scratch/t.csv: File too large"):
        Unpacker(tmp_path / "scratch").unpack(archive, "t.csv")


@pytest.mark.parametrize(
    ("text", "size"), [("1KB", 1000), ("20 GB", 20 * 10**9), ("3tb", 3 * 10**12)]
)
def test_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1", "2GiBs", "-1GB", "1.5GB"])
def test_size_without_a_number_or_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a number of KB, MB, GB, TB"):
        bytes_of(text)
