"""The workspace's files, kept as real files below one folder, so that tasks read and
write them as such.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .errors import invalid_parameter

ROOTS = ("dbfs", "Volumes", "Workspace")
# Where a path starts inside a parameter: at its beginning, after the `=` of an option,
# or after a comma.
IN_PARAMETER = re.compile(
    r"(?<![^=,])(?:dbfs:/+|file:/+(?=Workspace/|Volumes/)"
    r"|/dbfs/+(?=Volumes/)|/(?=(?:dbfs|Volumes|Workspace)/))"
)


class Tree:
    """The files below `<state>/files`: `dbfs`, `Volumes` and `Workspace`, each a
    folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root.with_name("incoming")
        shutil.rmtree(
            self._incoming, ignore_errors=True
        )  # what a killed emulator left half received
        for folder in (*(root / name for name in ROOTS), self._incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def file(self, root: str, path: str) -> Path:
        """The real file of a path in one of the roots. Raises ApiError for a path that
        is not absolute, or leaves it.
        """
        pure = PurePosixPath(path)
        if not pure.is_absolute() or ".." in pure.parts or "\0" in path:
            raise invalid_parameter(
                f"Invalid path: {path!r} must be absolute and without '..'"
            )
        return self.root / root / Path(*pure.parts[1:])

    def path(self, root: str, file: Path) -> str:
        """The path by which clients know a real file."""
        return "/" + file.relative_to(self.root / root).as_posix().removeprefix(".")

    def real(self, name: str) -> Path:
        """The real file of a path as tasks and libraries write it: `dbfs:/...`,
        `/Volumes/...`, `/Workspace/...`.

        Raises:
            ApiError: it lies elsewhere.
        """
        translated = self.translate(name)
        if translated == name or ".." in PurePosixPath(translated).parts:
            raise invalid_parameter(
                f"Invalid path: {name!r} is neither below dbfs:/ nor /Volumes nor"
                " /Workspace"
            )
        return Path(translated)

    def translate(self, parameter: str) -> str:
        """A parameter with the workspace's paths in it made real ones:
        `--source=/Volumes/a/b/c`.
        """

        def replace(match: re.Match[str]) -> str:
            rest = parameter[match.end() :]
            if match[0].startswith("dbfs:") and not rest.startswith(
                ("Volumes/", "Workspace/")
            ):
                return f"{self.root}/dbfs/"
            return f"{self.root}/"

        return IN_PARAMETER.sub(replace, parameter)

    def show(self, text: str) -> str:
        """A text that names real files, as a log does, with the workspace's paths put
        back.
        """
        return text.replace(f"{self.root}/", "/")

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """A temporary file to receive into; what is not placed is removed."""
        handle, name = tempfile.mkstemp(dir=self._incoming)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def place(self, received: Path, file: Path, *, overwrite: bool) -> None:
        """Give a received file its name, whole or not at all.

        Raises:
            FileExistsError: there is one and it may not be overwritten; of two at once,
                one gets this.
            IsADirectoryError: there is a folder.
            NotADirectoryError: a part of the path is a file.
        """
        if file.is_dir():
            raise IsADirectoryError(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(file.parent) from None
        received.chmod(0o644)
        if overwrite:
            received.replace(file)
        else:
            os.link(received, file)

    def write(self, file: Path, content: bytes, *, overwrite: bool) -> None:
        """`place` for a content at hand."""
        with self.receiving() as received:
            received.write_bytes(content)
            self.place(received, file, overwrite=overwrite)


def remove(file: Path, *, recursive: bool) -> None:
    """Delete a file or folder. Raises OSError for a folder that is not empty, unless
    recursive.
    """
    if not file.is_dir():
        file.unlink()
    elif recursive:
        shutil.rmtree(file)
    else:
        file.rmdir()


def milliseconds(seconds: float) -> int:
    """A time as all the APIs write it."""
    return int(seconds * 1000)
