"""Immutable snapshots: one version of a table, loaded into DuckDB's memory for queries.
A snapshot is dropped after the last request that uses it.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from lakekit.declarations.tables import Table
from lakekit.engines.duckdb.statements import data_files, declared_columns, name
from lakekit.errors import InvalidLakeError, MissingExtraError, StorageError
from lakekit.storage.files import storage_of
from lakekit.storage.lake import Lake

try:
    import duckdb
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    from lakekit.engines.duckdb import delta_log
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "api") from missing


class VersionGoneError(Exception):
    """The version existed, but its log entry or its files were removed."""


@dataclass(frozen=True)
class Head:
    """A table's newest version, and an id that distinguishes the table from a table
    that replaced it.
    """

    version: int
    table_id: str


class Snapshot:
    """A version of a table in memory, as a relation with this name. Its rows are sorted
    by the table's key.
    """

    def __init__(self, table: Table, head: Head, relation: str, rows: int) -> None:
        self.table = table
        self.head = head
        self.relation = relation
        self.rows = rows
        columns = [(column.name, column.type) for column in table.columns]
        self.edition = hashlib.sha256(
            f"{head.table_id} {columns}".encode()
        ).hexdigest()[:12]

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def etag(self) -> str:
        """Return a weak ETag: it identifies the rows, but not their exact bytes."""
        return f'W/"{self.version}-{self.edition}"'


class Reader:
    """Reads tables of a lake, in a folder or on S3, into one DuckDB connection."""

    def __init__(self, lake: Lake, memory: str) -> None:
        if lake.kind == "schema":
            raise InvalidLakeError(
                f"The lake {lake} is a schema, which Spark knows by name",
                "Name a folder or s3://BUCKET/PREFIX.",
            )
        self.lake = lake
        self._scratch = Path(tempfile.mkdtemp(prefix="lakekit-api-"))
        config: Dict[str, Any] = {
            # Downloads nothing but data of the lake.
            "autoinstall_known_extensions": False,
            "temp_directory": str(self._scratch / "spilled"),
            "memory_limit": memory,
            "preserve_insertion_order": True,
        }
        self._duckdb = duckdb.connect(config=config)
        self._numbers = itertools.count()
        self._dropping = threading.Lock()

    def close(self) -> None:
        """Free the memory and delete the temporary folder."""
        self._duckdb.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def cursor(self) -> Any:
        """Return a connection for one query, in any thread. It can be interrupted
        without effect on other connections.
        """
        return self._duckdb.cursor()

    def head(self, table: Table) -> Optional[Head]:
        """Return the newest version; None if the lake does not have the table. Raises
        StorageError, InvalidLakeError.
        """
        delta = delta_log.open_table(self.lake, table)
        return (
            None if delta is None else Head(delta.version(), str(delta.metadata().id))
        )

    def load(self, table: Table, head: Head) -> Snapshot:
        """Load a version. Raises VersionGoneError, StorageError."""
        location = self.lake.location(table)
        scratch = self._scratch / f"load-{next(self._numbers)}"
        try:
            delta = DeltaTable(location, version=head.version)
            files = storage_of(self.lake, scratch).fetch(
                location, delta_log.uris(delta)
            )
            return self._load(table, head, files)
        except (DeltaError, FileNotFoundError) as error:
            raise VersionGoneError(table.name, head.version, str(error)) from error
        except (duckdb.Error, OSError) as error:
            raise StorageError(
                Path(location), str(error).strip().partition("\n")[0]
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _load(self, table: Table, head: Head, files: Sequence[Path]) -> Snapshot:
        relation = f"snapshot_{next(self._numbers)}"
        by = ", ".join(name(column) for column in table.key)
        with self.cursor() as cursor:
            # Timestamps of Spark have no time zone in the files, and are in UTC.
            cursor.execute("SET TimeZone = 'UTC'")
            scan = data_files(
                files,
                (
                    {table.partition: table[table.partition].type}
                    if table.partition
                    else {}
                ),
            )
            has = (
                [
                    row[0]
                    for row in cursor.execute(
                        f"DESCRIBE SELECT * FROM {scan}"
                    ).fetchall()
                ]
                if files
                else []
            )
            sql = declared_columns(table, scan, has, naive=True) + (
                f" ORDER BY {by}" if by else ""
            )
            cursor.execute(f"CREATE TABLE {name(relation)} AS {sql}")
            counted: Tuple[int] = cursor.execute(
                f"SELECT count(*) FROM {name(relation)}"
            ).fetchone()
        snapshot = Snapshot(table, head, relation, counted[0])
        weakref.finalize(snapshot, self._drop, relation).atexit = False
        return snapshot

    def _drop(self, relation: str) -> None:
        try:
            with self._dropping, self.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {name(relation)}")
        except duckdb.ConnectionException:  # the service has stopped in the meantime
            pass
