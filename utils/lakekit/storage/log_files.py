"""Reads the files of a Delta table in a folder or on S3.

lakekit reads these files itself if no engine can read the table's log. File names are
relative to the table, with `/` between folders.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Protocol

from lakekit.declarations.tables import Table
from lakekit.errors import InvalidLakeError, StorageError
from lakekit.storage.files import s3_filesystem
from lakekit.storage.lake import Lake

LOG = "_delta_log"


class LogFiles(Protocol):
    """The files of one table. Every method raises StorageError if the location cannot
    be reached.
    """

    location: str

    def names(self) -> List[str]:
        """Return the names of the log files; an empty list if there is no log."""

    def read(self, name: str) -> bytes:
        """Return the content of a log file."""

    def create(self, name: str, content: bytes) -> None:
        """Create a log file atomically.

        Raises FileExistsError if the file exists; InvalidLakeError if the storage
        cannot create files atomically.
        """

    def data_files(self) -> Dict[str, int]:
        """Return the sizes in bytes of all files outside the log, by name."""


class FolderLogFiles:
    """The files of a table in a folder."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._log = Path(location) / LOG

    def names(self) -> List[str]:
        if not self._log.is_dir():
            return []
        with _storage(self._log):
            return [entry.name for entry in os.scandir(self._log) if entry.is_file()]

    def read(self, name: str) -> bytes:
        with _storage(self._log):
            return (self._log / name).read_bytes()

    def create(self, name: str, content: bytes) -> None:
        with _storage(self._log):
            handle, written = tempfile.mkstemp(dir=self._log, prefix=".lakekit-")
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(written, 0o644)
                os.link(written, self._log / name)  # fails if the name exists
            finally:
                os.unlink(written)

    def data_files(self) -> Dict[str, int]:
        found = {}
        for folder, folders, names in os.walk(self.location):
            if folder == self.location and LOG in folders:
                folders.remove(LOG)
            for file in (Path(folder, name) for name in names):
                found[file.relative_to(self.location).as_posix()] = file.stat().st_size
        return found


class S3LogFiles:
    """The files of a table on S3, read-only.

    A commit must fail if another writer has already created the commit's object. No
    files are written here, because a write by pyarrow does not fail if the object
    exists.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._root = location[len("s3://") :]
        self._s3 = s3_filesystem()

    def names(self) -> List[str]:
        return list(self._sizes(f"{self._root}/{LOG}", recursive=False))

    def read(self, name: str) -> bytes:
        with _storage(Path(self.location)):
            with self._s3.open_input_stream(f"{self._root}/{LOG}/{name}") as stream:
                return bytes(stream.read())

    def create(self, name: str, content: bytes) -> None:
        raise InvalidLakeError(
            f"{self.location} is on S3, where lakekit cannot commit to a table that"
            " delta-rs cannot open",
            "Add --engine spark.",
        )

    def data_files(self) -> Dict[str, int]:
        found = self._sizes(self._root, recursive=True)
        return {
            name: size for name, size in found.items() if not name.startswith(f"{LOG}/")
        }

    def _sizes(self, folder: str, recursive: bool) -> Dict[str, int]:
        from pyarrow import fs

        with _storage(Path(self.location)):
            selected = fs.FileSelector(
                folder, allow_not_found=True, recursive=recursive
            )
            listed = self._s3.get_file_info(selected)
        return {
            each.path[len(folder) + 1 :]: each.size for each in listed if each.is_file
        }


@contextmanager
def _storage(place: Path) -> Iterator[None]:
    """Translate errors of the operating system in this context into StorageError."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(
            place, error.strerror or str(error).partition("\n")[0]
        ) from error


def log_files(lake: Lake, table: Table) -> LogFiles:
    """Return the files of a table. Raises InvalidLakeError if only Spark can access the
    lake.
    """
    if lake.kind == "schema":
        raise InvalidLakeError(
            f"The lake {lake} is a schema, which only Spark can access",
            "Add --engine spark.",
        )
    location = lake.location(table)
    return S3LogFiles(location) if lake.kind == "s3" else FolderLogFiles(location)
