"""The session `cache` prints the state of the result cache, and prunes or clears it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lake_ci.cache.lookup import limit, store_folder
from lake_ci.cache.store import Store
from lake_ci.errors import LakeCiError, UsageError
from lake_ci.pipeline.cache_command import tell
from testing.unit.lake_ci.cache.test_store import KEY, PRINT, RESULT, leave


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store", 10**6, KEY)
    for number in range(2):
        found.keep(
            f"{number}{PRINT[1:]}",
            json.dumps(number).encode(),
            RESULT,
            tmp_path,
            leave(tmp_path),
        )
    return found


def test_what_is_kept_is_told_with_its_limit_and_place(store: Store) -> None:
    assert (
        tell(store, prune=False, clear=False)
        == f"2 results, 0.0 MB of at most 1.0 MB in {store.folder}"
    )


def test_pruning_removes_what_is_over_the_limit(store: Store) -> None:
    assert tell(store, prune=True, clear=False).startswith(
        "removed no results; 2 results, "
    )
    store.limit = 1
    assert tell(store, prune=True, clear=False).startswith(
        "removed 2 results, 0.0 MB; no results of at most "
    )


def test_clearing_removes_all_and_once_more_removes_nothing(store: Store) -> None:
    assert (
        tell(store, prune=False, clear=True)
        == f"removed 2 results, 0.0 MB from {store.folder}"
    )
    assert (
        tell(store, prune=False, clear=True)
        == f"removed no results from {store.folder}"
    )


def test_a_store_that_cannot_be_written_to_is_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lake_ci.cache.store.tempfile.mkdtemp", refuse)
    with pytest.raises(
        LakeCiError, match="Permission denied .set LAKE_CI_STORE to another folder"
    ):
        tell(store, prune=False, clear=True)


def test_the_store_lies_where_the_variable_says_else_in_the_main_worktree(
    root: Path,
) -> None:
    assert store_folder(root, {}) == root / ".cache" / "results"
    assert store_folder(root, {"LAKE_CI_STORE": "/elsewhere"}) == Path("/elsewhere")
    assert store_folder(root, {"LAKE_CI_STORE": "below"}) == root / "below"


@pytest.mark.parametrize(
    ("text", "expected"), [("", 500), ("[tool.lake_ci.cache]\nmegabytes = 7\n", 7)]
)
def test_the_limit_is_declared(root: Path, text: str, expected: int) -> None:
    assert limit(root) == 500 * 10**6
    (root / "pyproject.toml").write_text(text)
    assert limit(root) == expected * 10**6


@pytest.mark.parametrize(
    "text", ["[tool.lake_ci.cache]\nmegabytes = 'many'\n", "megabytes = \n"]
)
def test_a_limit_that_is_none_is_refused(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match="^pyproject.toml:"):
        limit(root)
