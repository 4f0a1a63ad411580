"""Implements DBFS. Clients write a file as a whole, or block by block through a
handle.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import invalid_parameter
from ..tree import Tree, milliseconds, remove
from . import errors


@dataclass
class Stream:
    """A file that is being written. The file becomes visible when the stream is
    closed.
    """

    file: Path
    path: str
    received: Path
    overwrite: bool
    held: ExitStack


class Dbfs:
    """The files below `dbfs:/`. Open streams are lost when the emulator ends.
    Databricks also loses its handles when the node that holds them ends.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._streams: dict[int, Stream] = {}
        self._handles = itertools.count(1)

    def status(self, path: str) -> dict[str, Any]:
        """Return a file or folder in the API's format. Raises ApiError if the path does
        not exist.
        """
        file = self._existing(path)
        stat = file.stat()
        return {
            "path": self._tree.path("dbfs", file),
            "is_dir": file.is_dir(),
            "file_size": 0 if file.is_dir() else stat.st_size,
            "modification_time": milliseconds(stat.st_mtime),
        }

    def entries(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of a folder. If the path is a file, return only this
        file.
        """
        file = self._existing(path)
        found = sorted(file.iterdir()) if file.is_dir() else [file]
        return [self.status(self._tree.path("dbfs", each)) for each in found]

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return a part of a file. The maximum size of a part is 1 MB."""
        file = self._existing(path)
        if file.is_dir():
            raise errors.is_a_directory(path)
        if length > errors.MAX_BLOCK:
            raise errors.read_too_large(length)
        if offset < 0 or length < 0:
            raise invalid_parameter("offset and length must not be negative")
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(length)

    def put(self, path: str, content: bytes | Path, *, overwrite: bool) -> None:
        """Write a whole file. The content is bytes or an uploaded file."""
        with ExitStack() as held:
            received = (
                content
                if isinstance(content, Path)
                else held.enter_context(self._tree.receiving())
            )
            if isinstance(content, bytes):
                received.write_bytes(content)
            self._place(received, path, overwrite=overwrite)

    def mkdirs(self, path: str) -> None:
        """Create a folder and its parents."""
        try:
            self._file(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise errors.already_exists(path) from None

    def delete(self, path: str, *, recursive: bool) -> None:
        """Delete a file or folder. As in DBFS, a missing path is not an error."""
        file = self._file(path)
        if not file.exists():
            return
        try:
            remove(file, recursive=recursive)
        except OSError:
            raise errors.not_empty(path) from None

    def move(self, source: str, destination: str) -> None:
        """Rename a file or folder. Raises ApiError if the new path already exists."""
        file, target = self._existing(source), self._file(destination)
        if target.is_dir():
            target = target / file.name
        if target.exists():
            raise errors.already_exists(destination)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)

    def create(self, path: str, *, overwrite: bool) -> int:
        """Open a stream and return its handle."""
        file = self._file(path)
        if file.exists() and not overwrite:
            raise errors.already_exists(path)
        held = ExitStack()
        received = held.enter_context(self._tree.receiving())
        handle = next(self._handles)
        self._streams[handle] = Stream(file, path, received, overwrite, held)
        return handle

    def add_block(self, handle: int, block: bytes) -> None:
        """Append a block. The maximum size of a block is 1 MB."""
        stream = self._stream(handle)
        if len(block) > errors.MAX_BLOCK:
            raise errors.block_too_large(len(block))
        with stream.received.open("ab") as opened:
            opened.write(block)

    def close(self, handle: int) -> None:
        """Close a stream and move the complete file to its final path."""
        stream = self._stream(handle)
        del self._streams[handle]
        with stream.held:
            self._place(stream.received, stream.path, overwrite=stream.overwrite)

    def _place(self, received: Path, path: str, *, overwrite: bool) -> None:
        try:
            self._tree.place(received, self._file(path), overwrite=overwrite)
        except (FileExistsError, NotADirectoryError):
            raise errors.already_exists(path) from None
        except IsADirectoryError:
            raise errors.is_a_directory(path) from None

    def _file(self, path: str) -> Path:
        return self._tree.file(
            "dbfs", "/" + path.removeprefix("dbfs:").lstrip("/") if path else path
        )

    def _existing(self, path: str) -> Path:
        file = self._file(path)
        if not file.exists():
            raise errors.does_not_exist(path)
        return file

    def _stream(self, handle: int) -> Stream:
        if handle not in self._streams:
            raise errors.unknown_handle(handle)
        return self._streams[handle]
