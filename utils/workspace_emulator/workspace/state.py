"""Stores workspace files and notebooks. A notebook is a source file with a language,
and cannot be run.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..errors import invalid_parameter, not_emulated
from ..store import Document, Store
from ..tree import Tree, milliseconds, remove
from . import errors

LANGUAGES = ("PYTHON", "SQL", "SCALA", "R")
NOTEBOOK_HEADER = b"# Databricks notebook source"


class Workspace:
    """The files and notebooks below `/Workspace`. In API paths, this prefix is
    optional.
    """

    def __init__(self, store: Store, tree: Tree) -> None:
        self._store = store
        self._objects = store.collection("workspace_object")
        self._tree = tree

    def import_(
        self, path: str, content: bytes, kind: str, language: str, *, overwrite: bool
    ) -> None:
        """Store a file. If the format is SOURCE or AUTO and the content is a notebook,
        the content is stored as a notebook.
        """
        if kind not in ("SOURCE", "AUTO", "RAW"):
            raise not_emulated(f"workspace imports of format {kind}")
        notebook = _is_notebook(kind, content)
        if kind == "SOURCE" and language not in LANGUAGES:
            raise invalid_parameter(
                f"language must be one of {', '.join(LANGUAGES)}, not {language!r}"
            )
        file = self._file(path)
        before = self._objects.get(self._name(file))
        try:
            self._tree.write(file, content, overwrite=overwrite)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise errors.already_exists(path) from None
        now = milliseconds(time.time())
        self._objects[self._name(file)] = {
            "object_type": "NOTEBOOK" if notebook else "FILE",
            **({"language": language or "PYTHON"} if notebook else {}),
            "object_id": (
                before["object_id"] if before else self._store.next_number("object")
            ),
            "created_at": before["created_at"] if before else now,
            "modified_at": now,
        }

    def status(self, path: str) -> Document:
        """Return an object in the API's format. Raises ApiError if the object does not
        exist.
        """
        return self._entry(self._existing(path))

    def entries(self, path: str) -> list[Document]:
        """Return the entries of a folder. If the path is a file, return only this
        file.
        """
        file = self._existing(path)
        return [
            self._entry(each)
            for each in (sorted(file.iterdir()) if file.is_dir() else [file])
        ]

    def export(self, path: str) -> bytes:
        """Return the content of a file or the source of a notebook."""
        file = self._existing(path)
        if file.is_dir():
            raise errors.is_a_directory(path)
        return file.read_bytes()

    def mkdirs(self, path: str) -> None:
        """Create a folder and its parents."""
        try:
            self._file(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise errors.already_exists(path) from None

    def delete(self, path: str, *, recursive: bool) -> None:
        """Delete an object. A folder that is not empty is deleted only if `recursive`
        is true.
        """
        file = self._existing(path)
        try:
            remove(file, recursive=recursive)
        except OSError:
            raise errors.not_empty(path) from None
        gone = self._name(file)
        for name in list(self._objects):
            if name == gone or name.startswith(f"{gone}/"):
                del self._objects[name]

    def _entry(self, file: Path) -> Document:
        name = self._name(file)
        if file.is_dir() and name not in self._objects:
            # A folder gets its id when it is first read, because the import of a file
            # may have created the folder.
            number = self._store.next_number("object")
            self._objects[name] = {"object_type": "DIRECTORY", "object_id": number}
        known: dict[str, Any] = self._objects.get(
            name, {"object_type": "FILE", "object_id": 0}
        )
        size = {"size": file.stat().st_size} if known["object_type"] == "FILE" else {}
        return {"path": name, **known, **size}

    def _name(self, file: Path) -> str:
        return self._tree.path("Workspace", file)

    def _file(self, path: str) -> Path:
        return self._tree.file("Workspace", path.removeprefix("/Workspace") or "/")

    def _existing(self, path: str) -> Path:
        file = self._file(path)
        if not file.exists():
            raise errors.does_not_exist(path)
        return file


def _is_notebook(kind: str, content: bytes) -> bool:
    """Return whether a file becomes a notebook when it is imported with this format."""
    if kind == "AUTO":
        return content.startswith(NOTEBOOK_HEADER)
    return kind == "SOURCE"
