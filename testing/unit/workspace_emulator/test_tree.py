from __future__ import annotations

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.tree import Tree, remove


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("/Volumes/c/s/v/x", "{root}/Volumes/c/s/v/x"),
        ("--source=/Volumes/c/s/v", "--source={root}/Volumes/c/s/v"),
        ("dbfs:/a/b", "{root}/dbfs/a/b"),
        ("dbfs:/Volumes/c", "{root}/Volumes/c"),
        ("/dbfs/a", "{root}/dbfs/a"),
        ("/dbfs/Volumes/c", "{root}/Volumes/c"),
        ("file:/Workspace/x", "{root}/Workspace/x"),
        ("/Volumes/a,/Volumes/b", "{root}/Volumes/a,{root}/Volumes/b"),
        ("see /Volumes/a", "see /Volumes/a"),
        ("/tmp/Volumes/a", "/tmp/Volumes/a"),
        ("main.flights", "main.flights"),
    ],
)
def test_paths_in_parameters_are_made_real(
    tree: Tree, parameter: str, expected: str
) -> None:
    assert tree.translate(parameter) == expected.format(root=tree.root)


def test_real_paths_in_a_log_are_shown_as_the_workspaces(tree: Tree) -> None:
    assert (
        tree.show(f"no file {tree.root}/Volumes/a: {tree.root}/dbfs/b")
        == "no file /Volumes/a: /dbfs/b"
    )


@pytest.mark.parametrize("path", ["relative", "/a/../../b", "/\0"])
def test_no_path_leaves_its_root(tree: Tree, path: str) -> None:
    with pytest.raises(ApiError, match="Invalid path"):
        tree.file("dbfs", path)


@pytest.mark.parametrize("path", ["/etc/passwd", "dbfs:/../../x", "x"])
def test_a_library_lies_in_the_workspace(tree: Tree, path: str) -> None:
    with pytest.raises(ApiError, match="Invalid path"):
        tree.real(path)


def test_a_file_is_placed_whole_or_not_at_all(tree: Tree) -> None:
    file = tree.file("dbfs", "/a/b")
    tree.write(file, b"one", overwrite=False)
    with pytest.raises(FileExistsError):
        tree.write(file, b"two", overwrite=False)
    with pytest.raises(IsADirectoryError):
        tree.write(file.parent, b"two", overwrite=True)
    with pytest.raises(NotADirectoryError):
        tree.write(file / "c", b"two", overwrite=True)
    assert file.read_bytes() == b"one"
    tree.write(file, b"two", overwrite=True)
    assert file.read_bytes() == b"two"
    assert not list(tree.root.with_name("incoming").iterdir())


def test_a_full_folder_is_removed_only_recursively(tree: Tree) -> None:
    tree.write(tree.file("dbfs", "/a/b"), b"", overwrite=False)
    with pytest.raises(OSError, match="not empty"):
        remove(tree.file("dbfs", "/a"), recursive=False)
    remove(tree.file("dbfs", "/a"), recursive=True)
    assert not tree.file("dbfs", "/a").exists()
