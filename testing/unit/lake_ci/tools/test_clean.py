"""What is remembered of clean files, and what makes it forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lake_ci.tools.clean import CleanFiles

FILES = ["a.py", "b.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    return tmp_path


def files_of(folder: Path, *context: str) -> CleanFiles:
    return CleanFiles(folder / ".cache" / "clean.json", folder, context)


def remember(folder: Path, *clean: str) -> None:
    known = files_of(folder, "settings")
    known.keep(clean, known.digests(FILES))


def unknown(folder: Path, context: str = "settings", files: list[str] = FILES) -> list[str]:
    known = files_of(folder, context)
    return known.unknown(files, known.digests(files))


def test_at_first_no_file_is_known(folder: Path) -> None:
    assert unknown(folder) == FILES


def test_only_what_was_clean_is_remembered(folder: Path) -> None:
    remember(folder, "a.py")
    assert unknown(folder) == ["b.py"]


def test_a_changed_file_is_unknown_also_with_its_old_size_and_time(folder: Path) -> None:
    remember(folder, *FILES)
    before = (folder / "a.py").stat()
    (folder / "a.py").write_text("# A.py\n", encoding="utf-8")
    os.utime(folder / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert unknown(folder) == ["a.py"]


def test_a_changed_setting_makes_all_unknown(folder: Path) -> None:
    remember(folder, *FILES)
    assert unknown(folder) == []
    assert unknown(folder, context="other settings") == FILES


def test_a_file_of_the_same_content_under_another_name_is_unknown(folder: Path) -> None:
    remember(folder, *FILES)
    (folder / "a.py").rename(folder / "c.py")
    assert unknown(folder, files=["b.py", "c.py"]) == ["c.py"]


def test_a_file_that_changes_while_the_tool_runs_stays_unknown(folder: Path) -> None:
    known = files_of(folder, "settings")
    digests = known.digests(FILES)
    (folder / "a.py").write_text("import os\n", encoding="utf-8")
    known.keep(FILES, digests)
    assert unknown(folder) == ["a.py"]


def test_a_file_that_is_not_there_is_unknown_and_never_kept(folder: Path) -> None:
    remember(folder, *FILES, "gone.py")
    assert unknown(folder, files=[*FILES, "gone.py"]) == ["gone.py"]


@pytest.mark.parametrize("content", ["", "{", "7", '[["a"]]'])
def test_a_damaged_store_is_as_good_as_none(folder: Path, content: str) -> None:
    remember(folder, *FILES)
    (folder / ".cache" / "clean.json").write_text(content, encoding="utf-8")
    assert unknown(folder) == FILES
