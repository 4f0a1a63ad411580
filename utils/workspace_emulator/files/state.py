"""Stores the files and folders on volumes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from ..catalog.state import Catalog
from ..tree import Tree, milliseconds, remove
from . import errors


class Files:
    """The content of `/Volumes`. All files are in volumes, and only Unity Catalog
    creates volumes.
    """

    def __init__(self, tree: Tree, catalog: Catalog) -> None:
        self._tree = tree
        self._catalog = catalog

    def file(self, path: str) -> Path:
        """Return the real path of a file. Raises ApiError if the file does not exist or
        is a folder.
        """
        file = self._locate(path)
        if not file.is_file():
            raise errors.not_found(path)
        return file

    def place(self, received: Path, path: str, *, overwrite: bool) -> None:
        """Move an upload to its path atomically. If two concurrent uploads write to one
        path and `overwrite` is false, one of the uploads fails.
        """
        file = self._locate(path)
        try:
            self._tree.place(received, file, overwrite=overwrite)
        except FileExistsError:
            raise errors.already_exists(path) from None
        except (IsADirectoryError, NotADirectoryError):
            raise errors.wrong_kind(path) from None

    def delete(self, path: str) -> None:
        """Delete a file."""
        self.file(path).unlink()

    def folder(self, path: str) -> Path:
        """Return the real path of a folder. Raises ApiError if the folder does not
        exist or is a file.
        """
        folder = self._locate(path)
        if not folder.is_dir():
            raise errors.not_found(path)
        return folder

    def create_folder(self, path: str) -> None:
        """Create a folder and its parents. If the folder exists, nothing changes."""
        try:
            self._locate(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise errors.wrong_kind(path) from None

    def delete_folder(self, path: str) -> None:
        """Delete an empty folder."""
        try:
            remove(self.folder(path), recursive=False)
        except OSError:
            raise errors.not_empty(path) from None

    def entries(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a folder."""
        return [self._entry(each) for each in sorted(self.folder(path).iterdir())]

    def _entry(self, file: Path) -> dict[str, Any]:
        stat = file.stat()
        entry: dict[str, Any] = {
            "name": file.name,
            "path": "/Volumes" + self._tree.path("Volumes", file),
            "is_directory": file.is_dir(),
            "last_modified": milliseconds(stat.st_mtime),
        }
        return entry if file.is_dir() else {**entry, "file_size": stat.st_size}

    def _locate(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if parts[:2] != ("/", "Volumes") or len(parts) < 5:
            raise errors.outside(path)
        file = self._tree.file("Volumes", "/" + "/".join(parts[2:]))
        self._catalog.volume(".".join(parts[2:5]))
        return file
