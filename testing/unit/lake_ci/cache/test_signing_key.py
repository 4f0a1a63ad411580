"""The key that signs the result cache is outside the clone, and only the key's owner
can read it.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lake_ci.cache.signing_key import signing_key


def test_the_key_is_made_once_for_an_account(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    key = signing_key(env)
    assert len(key) == 32
    assert signing_key(env) == key
    [file] = (tmp_path / ".local/state/lake-ci").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert signing_key({"HOME": str(tmp_path / "other")}) != key


def test_a_truncated_key_is_replaced(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    (tmp_path / "lake-ci").mkdir()
    (tmp_path / "lake-ci" / "cache-key").write_bytes(b"short")
    key = signing_key(env)
    assert len(key) == 32
    assert signing_key(env) == key


def test_on_github_the_scope_of_the_cache_takes_the_place_of_a_key(
    tmp_path: Path,
) -> None:
    env = {"HOME": str(tmp_path), "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/n"}
    assert signing_key(env) == b"github o/n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        signing_key({"XDG_STATE_HOME": str(tmp_path / "file")})
