"""The files of a lake that delta-rs does not write or read for us: in a folder where they are, on S3 by way of a copy.

DuckDB writes and reads Parquet itself, which is quicker than through delta-rs, but reaches only local files.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import List, Literal, Protocol
from urllib.parse import unquote

from lakekit.lake import Lake


class Storage(Protocol):
    """Data files by their location under a table: `part-....parquet`, or `month=2013-01-01/part-....parquet`."""

    def staging(self, table: str) -> Path:
        """The local folder that new data files of the table at that location are written into."""

    def publish(self, table: str, staged: List[str]) -> None:
        """Bring staged files, relative to the staging folder, to where the table's log will name them."""

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        """Local paths of a table's files, whose URIs delta-rs gives. Raises FileNotFoundError."""


class FolderStorage:
    """Files of a lake in a folder: staged where they will stay, and read there."""

    def staging(self, table: str) -> Path:
        return Path(table)

    def publish(self, table: str, staged: List[str]) -> None:
        """They are there."""

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        return [self._found(uri[len("file://") :] if uri.startswith("file://") else uri) for uri in files]

    @staticmethod
    def _found(uri: str) -> Path:
        """delta-rs gives paths quoted as in a URL, or not; a folder `name=a%2Fb` is quoted by the partition's value."""
        for path in (Path(uri), Path(unquote(uri))):
            if path.exists():
                return path
        raise FileNotFoundError(uri)


class S3Storage:
    """Files of a lake on S3, copied to and from a scratch folder. Data files never change, so a copy stays good.

    Credentials, region and endpoint come from the environment's AWS_* variables, as delta-rs takes them.
    """

    def __init__(self, scratch: Path) -> None:
        from pyarrow import fs  # 30 ms that a lake in a folder need not pay

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        scheme: Literal["http", "https"] = "http" if (endpoint or "").startswith("http://") else "https"
        self._s3 = fs.S3FileSystem(endpoint_override=endpoint, region=region, scheme=scheme)
        self._copy = fs.copy_files
        self._local = fs.LocalFileSystem()
        self._scratch = scratch

    def staging(self, table: str) -> Path:
        return self._scratch / "staged" / hashlib.sha256(table.encode()).hexdigest()[:16]

    def publish(self, table: str, staged: List[str]) -> None:
        folder = self.staging(table)
        for name in staged:
            target = f"{table[len('s3://') :]}/{name}"
            self._copy(
                str(folder / name), target, source_filesystem=self._local, destination_filesystem=self._s3
            )

    def fetch(self, table: str, files: List[str]) -> List[Path]:
        return [self._fetch(table, uri) for uri in files]

    def _fetch(self, table: str, uri: str) -> Path:
        """As `FolderStorage._found` says, delta-rs gives names quoted as in a URL, or not."""
        plain = unquote(uri)[len(table) + 1 :]
        given = uri[len(table) + 1 :] if uri.startswith(f"{table}/") else plain
        folder = self._scratch / "fetched" / hashlib.sha256(table.encode()).hexdigest()[:16]
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
            self._copy(source, str(path), source_filesystem=self._s3, destination_filesystem=self._local)
        return path


def storage_of(lake: Lake, scratch: Path) -> Storage:
    """The storage of a lake that the embedded engine can keep: in a folder or on S3."""
    return S3Storage(scratch) if lake.kind == "s3" else FolderStorage()
