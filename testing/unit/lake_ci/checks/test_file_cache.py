"""The result of a check for a file is cached until a change makes it invalid."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake_ci.checks.file_cache import FileCache

FILES = ["a.py", "b.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    return tmp_path


def files_of(folder: Path, *context: str) -> FileCache:
    return FileCache(folder / ".cache" / "known.json", folder, context)


def remember(folder: Path, *files: str) -> None:
    cache = files_of(folder, "settings")
    cache.save({file: [] for file in files}, cache.digests(FILES))


def uncached(
    folder: Path, context: str = "settings", files: list[str] = FILES
) -> list[str]:
    cache = files_of(folder, context)
    return cache.uncached(files, cache.digests(files))


def test_an_empty_cache_has_no_file(folder: Path) -> None:
    assert uncached(folder) == FILES


def test_only_saved_files_are_cached(folder: Path) -> None:
    remember(folder, "a.py")
    assert uncached(folder) == ["b.py"]


def test_a_changed_file_of_old_size_and_time_is_uncached(
    folder: Path,
) -> None:
    remember(folder, *FILES)
    before = (folder / "a.py").stat()
    (folder / "a.py").write_text("# A.py\n", encoding="utf-8")
    os.utime(folder / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert uncached(folder) == ["a.py"]


def test_a_changed_setting_invalidates_all_files(folder: Path) -> None:
    remember(folder, *FILES)
    assert uncached(folder) == []
    assert uncached(folder, context="other settings") == FILES


def test_a_renamed_file_is_uncached(folder: Path) -> None:
    remember(folder, *FILES)
    (folder / "a.py").rename(folder / "c.py")
    assert uncached(folder, files=["b.py", "c.py"]) == ["c.py"]


def test_cached_rows_are_returned(folder: Path) -> None:
    cache = files_of(folder, "settings")
    digests = cache.digests(FILES)
    cache.save({"a.py": [{"line": 3}], "b.py": None}, digests)
    assert files_of(folder, "settings").cached(FILES, digests) == {
        "a.py": [{"line": 3}],
        "b.py": None,
    }


@pytest.mark.parametrize("way", ["mode", "link"])
def test_a_file_of_another_mode_is_uncached(folder: Path, way: str) -> None:
    remember(folder, *FILES)
    path = folder / "a.py"
    if way == "mode":
        path.chmod(0o755)
    else:
        path.rename(folder / "real.py")
        path.symlink_to("real.py")
    assert uncached(folder) == ["a.py"]


def test_a_file_that_changes_during_the_run_is_not_cached(
    folder: Path,
) -> None:
    cache = files_of(folder, "settings")
    digests = cache.digests(FILES)
    before = (folder / "a.py").read_text(encoding="utf-8")
    (folder / "a.py").write_text("import os\n", encoding="utf-8")
    cache.save({file: [] for file in FILES}, digests)
    assert uncached(folder) == ["a.py"]
    (folder / "a.py").write_text(before, encoding="utf-8")
    assert uncached(folder) == ["a.py"]


def test_a_missing_file_is_never_cached(folder: Path) -> None:
    remember(folder, *FILES, "gone.py")
    assert uncached(folder, files=[*FILES, "gone.py"]) == ["gone.py"]


@pytest.mark.parametrize("content", ["", "{", "7", '[["a"]]', '["a"]'])
def test_a_corrupt_cache_counts_as_empty(folder: Path, content: str) -> None:
    remember(folder, *FILES)
    (folder / ".cache" / "known.json").write_text(content, encoding="utf-8")
    assert uncached(folder) == FILES
