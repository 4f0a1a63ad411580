"""Files are written completely or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lake_ci.system.atomic_write import write_whole


def test_a_failed_write_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_whole(path, "old")

    def disk_is_full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_utf_8_cannot_hold_survives_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    name = b"caf\xe9.py".decode("utf-8", "surrogateescape")
    write_whole(path, json.dumps({"file": name}, ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == {"file": name}


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
