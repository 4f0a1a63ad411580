from __future__ import annotations

import pytest

from workspace_emulator.dbfs.state import Dbfs
from workspace_emulator.errors import ApiError
from workspace_emulator.tree import Tree


def test_paths_are_known_with_and_without_their_scheme(tree: Tree) -> None:
    dbfs = Dbfs(tree)
    dbfs.put("dbfs:/a/b", b"x", overwrite=False)
    assert dbfs.status("/a/b") == dbfs.status("dbfs:/a/b")
    assert [each["path"] for each in dbfs.entries("/")] == ["/a"] and dbfs.status("/")[
        "path"
    ] == "/"


def test_of_two_streams_to_one_file_the_second_is_refused_when_it_closes(
    tree: Tree,
) -> None:
    dbfs = Dbfs(tree)
    first, second = dbfs.create("/a", overwrite=False), dbfs.create(
        "/a", overwrite=False
    )
    dbfs.add_block(first, b"1")
    dbfs.add_block(second, b"2")
    dbfs.close(first)
    with pytest.raises(ApiError) as refused:
        dbfs.close(second)
    assert (
        refused.value.code == "RESOURCE_ALREADY_EXISTS"
        and dbfs.read("/a", 0, 10) == b"1"
    )
    assert not list(tree.root.with_name("incoming").iterdir())


def test_a_part_of_a_file_is_read(tree: Tree) -> None:
    dbfs = Dbfs(tree)
    dbfs.put("/a", b"0123456789", overwrite=False)
    assert dbfs.read("/a", 8, 10) == b"89" and dbfs.read("/a", 20, 10) == b""
    with pytest.raises(ApiError, match="must not be negative"):
        dbfs.read("/a", -1, 10)
    with pytest.raises(ApiError, match="directory"):
        dbfs.read("/", 0, 10)
