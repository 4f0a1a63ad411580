"""The cache of file hashes never returns a hash that a file had before a change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.cache import file_hashes
from lake_ci.cache.file_hashes import Digests


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that starts a new run, and returns the hashes of files in the
    test's folder.
    """

    def run(*names: str) -> dict[str, str]:
        found = Digests(tmp_path, tmp_path / ".cache" / "digests")
        looked = found.of(names)
        found.save()
        return looked

    return run


def age(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the file system's clock to a minute after the file was changed, so that the
    file counts as old.
    """
    later = path.lstat().st_ctime_ns + 60 * 10**9
    monkeypatch.setattr(
        file_hashes, "_clock", lambda folder: (later, path.lstat().st_dev)
    )


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that records the name of each file that is read from now on."""
    noted: list[str] = []
    real = file_hashes._read

    def read(path: str) -> tuple[str, os.stat_result]:
        noted.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(file_hashes, "_read", read)
    return noted


def test_a_file_that_stays_is_read_once(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("1")
    age(tmp_path / "one", monkeypatch)
    noted = reads(monkeypatch)
    first = look("one")
    assert look("one") == first
    assert noted == ["one"]


def test_a_file_of_this_very_moment_is_read_again(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("1")
    info = (tmp_path / "one").stat()
    monkeypatch.setattr(
        file_hashes, "_clock", lambda folder: (info.st_ctime_ns, info.st_dev)
    )
    noted = reads(monkeypatch)
    assert look("one") == look("one")
    assert noted == ["one", "one"]


def test_another_content_of_the_same_size_and_time_is_seen(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one"
    file.write_text("1")
    age(file, monkeypatch)
    before = look("one")
    info = file.stat()
    file.write_text("2")
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (
        info.st_size,
        info.st_mtime_ns,
    )
    assert look("one") != before


def test_nothing_is_believed_once_the_clock_went_back(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("1")
    age(tmp_path / "one", monkeypatch)
    look("one")
    info = (tmp_path / "one").stat()
    monkeypatch.setattr(
        file_hashes, "_clock", lambda folder: (info.st_ctime_ns + 1, info.st_dev)
    )
    noted = reads(monkeypatch)
    look("one")
    assert noted == ["one"]


def test_without_file_system_clock_only_old_files_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text("1")
    info = (tmp_path / "one").stat()
    for seconds, again in ((2, ["one"]), (4, [])):
        cache_file = tmp_path / f"kept-{seconds}"
        now = info.st_ctime_ns + seconds * 10**9
        monkeypatch.setattr(file_hashes, "_clock", lambda folder, now=now: (now, None))
        first = Digests(tmp_path, cache_file)
        first.of(["one"])
        first.save()
        noted = reads(monkeypatch)
        Digests(tmp_path, cache_file).of(["one"])
        assert noted == again


def test_mode_kind_and_target_count_and_a_link_is_not_followed(
    tmp_path: Path, look: Callable[..., dict[str, str]]
) -> None:
    file, link = tmp_path / "one", tmp_path / "link"
    file.write_text("two")
    link.symlink_to("two")
    first = look("one", "link")
    assert (
        first["one"].split(" ")[1] == first["link"].split(" ")[1]
        and first["one"] != first["link"]
    )
    file.chmod(0o755)
    link.unlink()
    link.symlink_to("nowhere")
    second = look("one", "link")
    assert second["one"].startswith("755 ") and second["one"] != first["one"]
    assert second["link"] != first["link"]


def test_what_is_gone_has_no_digest_and_a_folder_has_none_that_counts(
    tmp_path: Path, look: Callable[..., dict[str, str]]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    found = look("folder", "gone", "file/below")
    assert found == {"folder": "? neither a file nor a link"}


def test_a_name_that_is_not_utf8_and_one_with_a_newline_are_kept(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [os.fsdecode(b"caf\xe9"), "two\nlines"]
    for name in names:
        (tmp_path / name).write_text(name, errors="surrogateescape")
    age(tmp_path / names[0], monkeypatch)
    noted = reads(monkeypatch)
    assert look(*names) == look(*names)
    assert sorted(noted) == sorted(names)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-3], lambda data: b"", lambda data: data.replace(b"1", b"2")],
)
def test_a_damaged_file_of_digests_costs_time_alone(
    tmp_path: Path,
    look: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes],
) -> None:
    (tmp_path / "one").write_text("1")
    age(tmp_path / "one", monkeypatch)
    first = look("one")
    cache_file = tmp_path / ".cache" / "digests"
    cache_file.write_bytes(damage(cache_file.read_bytes()))
    noted = reads(monkeypatch)
    assert look("one") == first
    assert noted == ["one"]


def test_where_nothing_can_be_written_the_files_are_read_each_time(
    tmp_path: Path,
) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "kept").write_text("no folder")
    found = Digests(tmp_path, tmp_path / "kept" / "digests")
    assert "one" in found.of(["one"])
    found.save()
    assert (tmp_path / "kept").read_text() == "no folder"


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, look: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_hashes._read

    def refuse(path: str) -> tuple[str, os.stat_result]:
        if path.endswith("two"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(file_hashes, "_read", refuse)
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    with pytest.raises(PermissionError, match="two"):
        look("one", "two", "three")
