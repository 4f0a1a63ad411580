"""Stores the workspace's files as real files in one folder, where tasks can read and
write the files.
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
# Matches the start of a workspace path in a parameter. A path begins at the start of
# the parameter, after `=`, or after a comma.
IN_PARAMETER = re.compile(
    r"(?<![^=,])(?:dbfs:/+|file:/+(?=Workspace/|Volumes/)"
    r"|/dbfs/+(?=Volumes/)|/(?=(?:dbfs|Volumes|Workspace)/))"
)


class Tree:
    """The files below `<state>/files`, in the folders `dbfs`, `Volumes` and
    `Workspace`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root.with_name("incoming")
        # Delete incomplete uploads from an emulator that was killed.
        shutil.rmtree(self._incoming, ignore_errors=True)
        for folder in (*(root / name for name in ROOTS), self._incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def file(self, root: str, path: str) -> Path:
        """Return the real path of a file. `root` is one of ROOTS, and `path` is the
        path of the file below this root. Raises ApiError if the path is relative or
        outside the root.
        """
        pure = PurePosixPath(path)
        if not pure.is_absolute() or ".." in pure.parts or "\0" in path:
            raise invalid_parameter(
                f"Invalid path: {path!r} must be absolute and without '..'"
            )
        return self.root / root / Path(*pure.parts[1:])

    def path(self, root: str, file: Path) -> str:
        """Return the path of a real file below `root`."""
        return "/" + file.relative_to(self.root / root).as_posix().removeprefix(".")

    def real(self, name: str) -> Path:
        """Return the real path of a file that a task or library refers to. `name`
        starts with `dbfs:/`, `/Volumes/` or `/Workspace/`.

        Raises:
            ApiError: the path does not start with one of these roots, or contains `..`.
        """
        translated = self.translate(name)
        if translated == name or ".." in PurePosixPath(translated).parts:
            raise invalid_parameter(
                f"Invalid path: {name!r} is not below dbfs:/, /Volumes or" " /Workspace"
            )
        return Path(translated)

    def translate(self, parameter: str) -> str:
        """Replace workspace paths by real paths in a parameter, such as
        `--source=/Volumes/a/b/c`, and return the result.
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
        """Return a text such as a log; replace the real paths by workspace paths."""
        return text.replace(f"{self.root}/", "/")

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """Yield a temporary file for an upload. The file is deleted at the end of the
        `with` block, unless `place` has moved the file.
        """
        handle, name = tempfile.mkstemp(dir=self._incoming)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def place(self, received: Path, file: Path, *, overwrite: bool) -> None:
        """Move an uploaded file to its final path atomically.

        Raises:
            FileExistsError: the file exists and `overwrite` is false. Of two concurrent
                writers, one gets this error.
            IsADirectoryError: the path is a folder.
            NotADirectoryError: a parent of the path is a file.
        """
        if file.is_dir():
            raise IsADirectoryError(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(file.parent) from None
        received.chmod(0o600)
        if overwrite:
            received.replace(file)
        else:
            os.link(received, file)

    def write(self, file: Path, content: bytes, *, overwrite: bool) -> None:
        """Write a file atomically. Raises the same errors as `place`."""
        with self.receiving() as received:
            received.write_bytes(content)
            self.place(received, file, overwrite=overwrite)


def remove(file: Path, *, recursive: bool) -> None:
    """Delete a file or folder. Raises OSError if the folder is not empty and
    `recursive` is false.
    """
    if not file.is_dir():
        file.unlink()
    elif recursive:
        shutil.rmtree(file)
    else:
        file.rmdir()


def milliseconds(seconds: float) -> int:
    """Convert seconds to milliseconds, the unit of times in all APIs."""
    return int(seconds * 1000)
