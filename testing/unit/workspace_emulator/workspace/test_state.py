from __future__ import annotations

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.store import Store
from workspace_emulator.tree import Tree
from workspace_emulator.workspace.state import Workspace


def test_what_is_a_notebook_is_told_by_its_format_or_its_first_line(
    store: Store, tree: Tree
) -> None:
    workspace = Workspace(store, tree)
    workspace.import_(
        "/a.py", b"# Databricks notebook source\n1", "AUTO", "", overwrite=False
    )
    workspace.import_("/b.py", b"1", "AUTO", "", overwrite=False)
    assert [each["object_type"] for each in workspace.entries("/")] == [
        "NOTEBOOK",
        "FILE",
    ]
    with pytest.raises(ApiError, match="language must be one of PYTHON"):
        workspace.import_("/c", b"1", "SOURCE", "", overwrite=False)


def test_an_object_keeps_its_id_when_it_is_written_over(
    store: Store, tree: Tree
) -> None:
    workspace = Workspace(store, tree)
    workspace.import_("/a", b"1", "RAW", "", overwrite=False)
    before = workspace.status("/a")["object_id"]
    workspace.import_("/Workspace/a", b"22", "RAW", "", overwrite=True)
    assert (workspace.status("/a")["object_id"], workspace.status("/a")["size"]) == (
        before,
        2,
    )
