"""Accesses the data files of a lake: directly in a folder, or as local copies from S3.

DuckDB reads and writes Parquet files faster than delta-rs, but can only access local
files.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Callable,
    Dict,
    List,
    Literal,
    Mapping,
    Optional,
    Protocol,
)
from urllib.parse import unquote

from lakekit.declarations.value_limits import LONGEST_NAME, is_too_long
from lakekit.storage.lake import Lake

if TYPE_CHECKING:
    from pyarrow import fs

TOO_LONG = f"cannot be copied: its folder has a name of more than {LONGEST_NAME} bytes"
ABSOLUTE = re.compile("[A-Za-z][A-Za-z0-9+.-]*:/")


class Storage(Protocol):
    """Access to data files by their paths. A path is relative to the table, for example
    `part-....parquet` or `month=2013-01-01/part-....parquet`.
    """

    def staging(self, table: str) -> Path:
        """Return the local folder for new data files of the table. `table` is the
        table's location.
        """

    def publish(self, table: str, staged: List[str]) -> None:
        """Move staged files to their final location in the table. `staged` has the
        paths of the files, relative to the staging folder.
        """

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        """Return the local paths of a table's files. `files` has the URIs that delta-rs
        returns. Raises FileNotFoundError if a file is missing.
        """

    def damaged(self, table: str, sizes: Mapping[str, int]) -> Dict[str, str]:
        """Return the files that are missing or have an unexpected size.

        The result maps the path or URL of each damaged file to a description of the
        damage.

        `sizes` has the expected sizes in bytes, by path in the table.
        """


class FolderStorage:
    """The files of a lake in a folder. Files are read, and new files are staged, at
    their final location.
    """

    def staging(self, table: str) -> Path:
        return Path(table)

    def publish(self, table: str, staged: List[str]) -> None:
        """Do nothing: staged files are already in their final location."""

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        return [
            self._found(uri[len("file://") :] if uri.startswith("file://") else uri)
            for uri in files
        ]

    def damaged(self, table: str, sizes: Mapping[str, int]) -> Dict[str, str]:
        return _differing(table, sizes, lambda name: self._size(f"{table}/{name}"))

    def _size(self, file: str) -> Optional[int]:
        try:
            return self._found(file).stat().st_size
        except FileNotFoundError:
            return None

    @staticmethod
    def _found(uri: str) -> Path:
        """Return the path of a file from its URI in delta-rs.

        delta-rs returns paths with or without URL quoting. In addition, the name of a
        folder may itself contain a quoted partition value, such as `name=a%2Fb`.
        """
        for path in (Path(uri), Path(unquote(uri))):
            if path.exists():
                return path
        raise FileNotFoundError(uri)


def s3_filesystem() -> fs.S3FileSystem:
    """Return an S3 file system. As in delta-rs, the AWS_* environment variables
    configure credentials, region and endpoint.
    """
    from pyarrow import fs  # a slow import (30 ms) that only a lake on S3 needs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    scheme: Literal["http", "https"] = (
        "http" if (endpoint or "").startswith("http://") else "https"
    )
    return fs.S3FileSystem(endpoint_override=endpoint, region=region, scheme=scheme)


class S3Storage:
    """The files of a lake on S3. Files are read and written in a scratch folder, and
    copied from and to S3. A copy stays valid, because data files never change.
    """

    def __init__(self, scratch: Path) -> None:
        from pyarrow import fs

        self._s3 = s3_filesystem()
        self._copy, self._select = fs.copy_files, fs.FileSelector
        self._local = fs.LocalFileSystem()
        self._scratch = scratch

    def staging(self, table: str) -> Path:
        return (
            self._scratch / "staged" / hashlib.sha256(table.encode()).hexdigest()[:16]
        )

    def publish(self, table: str, staged: List[str]) -> None:
        folder = self.staging(table)
        for name in staged:
            target = f"{table[len('s3://') :]}/{name}"
            self._copy(
                str(folder / name),
                target,
                source_filesystem=self._local,
                destination_filesystem=self._s3,
            )

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        return [self._fetch(table, uri) for uri in files]

    def damaged(self, table: str, sizes: Mapping[str, int]) -> Dict[str, str]:
        root = table[len("s3://") :]
        listed = self._s3.get_file_info(self._select(root, recursive=True))
        there = {info.path[len(root) + 1 :]: info.size for info in listed}
        keys = {name: name if name in there else unquote(name) for name in sizes}
        found = _differing(table, sizes, lambda name: there.get(keys[name]))
        long = [name for name, key in keys.items() if is_too_long(key)]
        return {**found, **{f"{table}/{name}": TOO_LONG for name in long}}

    def _fetch(self, table: str, uri: str) -> Path:
        """Return the local copy of a file. As in `FolderStorage._found`, delta-rs
        returns names with or without URL quoting.
        """
        plain = unquote(uri)[len(table) + 1 :]
        given = uri[len(table) + 1 :] if uri.startswith(f"{table}/") else plain
        folder = (
            self._scratch / "fetched" / hashlib.sha256(table.encode()).hexdigest()[:16]
        )
        if (folder / given).exists():
            return folder / given
        try:
            return self._copied(table, given, folder)
        except FileNotFoundError:
            if given == plain:
                raise
            return self._copied(table, plain, folder)

    def _copied(self, table: str, name: str, folder: Path) -> Path:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            source = f"{table[len('s3://') :]}/{name}"
            self._copy(
                source,
                str(path),
                source_filesystem=self._s3,
                destination_filesystem=self._local,
            )
        return path


def _differing(
    table: str, sizes: Mapping[str, int], found: Callable[[str], Optional[int]]
) -> Dict[str, str]:
    differing = {}
    for name, size in sizes.items():
        if ABSOLUTE.match(name):
            continue  # a file of another table, as in a shallow clone
        actual = found(name)
        if actual is None:
            differing[f"{table}/{name}"] = "is missing"
        elif actual != size:
            differing[f"{table}/{name}"] = f"has {actual:,} bytes instead of {size:,}"
    return differing


def storage_of(lake: Lake, scratch: Path) -> Storage:
    """Return the storage of a lake in a folder or on S3. Only the embedded engine uses
    this storage.
    """
    return S3Storage(scratch) if lake.kind == "s3" else FolderStorage()
