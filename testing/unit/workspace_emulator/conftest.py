"""Fixtures that create a `Store` and a `Tree` for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workspace_emulator.store import Store
from workspace_emulator.tree import Tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.sqlite")
    yield made
    made.close()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "files")
