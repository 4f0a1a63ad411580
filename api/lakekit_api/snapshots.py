"""Loads versions of tables into DuckDB's memory for queries.

A snapshot is one loaded version of a table. A snapshot never changes, and is dropped as
soon as nothing uses the snapshot.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from lakekit.declarations.tables import Table
from lakekit.engines.duckdb.statements import data_files, declared_columns, name
from lakekit.errors import InvalidLakeError, MissingExtraError, StorageError
from lakekit.storage.files import storage_of
from lakekit.storage.lake import Lake
from lakekit_api.cursors import DIGEST, position_column

try:
    import duckdb
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    from lakekit.engines.duckdb import delta_log
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "api") from missing


T = TypeVar("T")
FAR: Dict[str, Tuple[str, str]] = {
    "date": ("DATE '0001-01-01'", "DATE '9999-12-31'"),
    "timestamp": (
        "TIMESTAMP '0001-01-01 00:00:00'",
        "TIMESTAMP '9999-12-31 23:59:59.999999'",
    ),
}
"""The first and the last value that Python's types can store, by column type."""


class VersionGoneError(Exception):
    """The version existed, but its log entry or its files have been removed."""


class UnreadableError(Exception):
    """A table cannot be read because of a problem with the lake, the log or a file."""


class AbandonedError(Exception):
    """A load was stopped because no request waits for it any more."""


@dataclass(frozen=True)
class Head:
    """A version of a table, and the identity of its content. The identity is a digest
    of the table's id, its schema and its data files in the log.

    The version number alone does not identify the rows: after a restore or a rebuild of
    the table, the same number may stand for different rows.
    """

    version: int
    identity: str


class Abandonment:
    """Lets one thread stop a load that runs in another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = False
        self._cursor: Any = None

    def request(self) -> None:
        """Ask the load to stop. If a query is running, it is interrupted; otherwise the
        load stops at its next step.
        """
        with self._lock:
            self._requested = True
            if self._cursor is not None:
                self._cursor.interrupt()

    def check(self) -> None:
        """Raise AbandonedError if a stop was requested."""
        if self._requested:
            raise AbandonedError

    @contextmanager
    def interrupts(self, cursor: Any) -> Iterator[None]:
        """While the context is open, `request` interrupts this cursor's queries."""
        with self._lock:
            self.check()
            self._cursor = cursor
        try:
            yield
        finally:
            with self._lock:
                self._cursor = None


class Snapshot:
    """A version of a table, loaded into memory as the DuckDB relation `relation`.

    Rows are sorted by the table's key, then by the remaining columns. An additional
    column numbers the rows from 0. So a row has the same position in every load of the
    same content. `far` contains the names of the columns in which a date or an instant
    does not fit into Python's datetime types.
    """

    def __init__(
        self,
        table: Table,
        head: Head,
        relation: str,
        rows: int,
        far: FrozenSet[str] = frozenset(),
    ) -> None:
        self.table = table
        self.head = head
        self.relation = relation
        self.rows = rows
        self.far = far
        columns = [(column.name, column.type) for column in table.columns]
        content = f"{head.identity} {columns} {table.key}"
        self.edition = hashlib.sha256(content.encode()).hexdigest()[: DIGEST * 2]

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def etag(self) -> str:
        """Return a weak ETag, which identifies the rows but not the exact bytes of a
        response.
        """
        return f'W/"{self.version}-{self.edition}"'


class Reader:
    """Reads tables into one DuckDB connection. The lake is in a folder or on S3."""

    def __init__(self, lake: Lake, memory: str) -> None:
        if lake.kind == "schema":
            raise InvalidLakeError(
                f"The lake {lake} is a schema, which only Spark can read",
                "Use a folder or s3://BUCKET/PREFIX.",
            )
        self.lake = lake
        self._scratch = Path(tempfile.mkdtemp(prefix="lakekit-api-"))
        config: Dict[str, Any] = {
            # DuckDB must not download anything except data of the lake.
            "autoinstall_known_extensions": False,
            "temp_directory": str(self._scratch / "spilled"),
            "memory_limit": memory,
            "preserve_insertion_order": True,
            # A load reads each file once, so a cache would only waste memory. After a
            # restore, a file with the same name may have different content.
            "enable_external_file_cache": False,
        }
        self._duckdb = duckdb.connect(config=config)
        self._numbers = itertools.count()
        self._dropping = threading.Lock()

    def close(self) -> None:
        """Free the memory and delete the temporary folder."""
        self._duckdb.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def cursor(self) -> Any:
        """Return a connection for one query; any thread may use it. An interrupt of
        this connection does not affect other connections.
        """
        return self._duckdb.cursor()

    def head(self, table: Table, version: Optional[int] = None) -> Optional[Head]:
        """Return a version of a table, by default the newest, and the identity of the
        version's content. Returns None if the table is not in the lake.

        Raises VersionGoneError, StorageError, InvalidLakeError, DamagedTableError,
        DamagedLogError.
        """
        if version is None:
            delta = delta_log.open_table(self.lake, table)
        else:
            delta = self._open(table, version)
        return None if delta is None else _head(delta)

    def load(
        self, table: Table, head: Head, abandoned: Optional[Abandonment] = None
    ) -> Snapshot:
        """Load the version that `head` names. The result has the identity of the
        content that was read. This identity may differ from the identity in `head`.

        Raises VersionGoneError, StorageError, InvalidLakeError, AbandonedError.
        """
        abandoned = abandoned or Abandonment()
        location = self.lake.location(table)
        scratch = self._scratch / f"load-{next(self._numbers)}"
        try:
            abandoned.check()
            delta = self._open(table, head.version)
            abandoned.check()
            files = storage_of(self.lake, scratch).fetch(
                location, delta_log.uris(delta)
            )
            return self._load(table, _head(delta), files, abandoned)
        except FileNotFoundError as error:
            raise VersionGoneError(table.name, head.version, str(error)) from error
        except (duckdb.Error, OSError) as error:
            abandoned.check()
            raise StorageError(
                Path(location), str(error).strip().partition("\n")[0]
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _open(self, table: Table, version: int) -> DeltaTable:
        delta_log.check_before_load(self.lake, table, version)
        try:
            delta = DeltaTable(self.lake.location(table), version=version)
        except (DeltaError, FileNotFoundError) as error:
            raise VersionGoneError(table.name, version, str(error)) from error
        if delta.protocol().min_reader_version > 1:
            # If the table needs a newer reader, its data files may still contain
            # deleted rows, or use different column names.
            raise InvalidLakeError(
                f"{table.name} in version {version} uses Delta features that are not"
                " supported",
                "Read a version in which these features are dropped.",
            )
        return delta

    def _load(
        self, table: Table, head: Head, files: Sequence[Path], abandoned: Abandonment
    ) -> Snapshot:
        relation = f"snapshot_{next(self._numbers)}"
        with self.cursor() as cursor, abandoned.interrupts(cursor):
            # In the data files that Spark writes, timestamps are in UTC and have no
            # time zone.
            cursor.execute("SET TimeZone = 'UTC'")
            try:
                cursor.execute(self._create(table, relation, files, cursor))
                far, rows = _measure(table, relation, cursor)
                abandoned.check()
            except (duckdb.Error, AbandonedError):
                cursor.execute(f"DROP TABLE IF EXISTS {name(relation)}")
                raise
        snapshot = Snapshot(table, head, relation, rows, far)
        weakref.finalize(snapshot, self._drop, relation).atexit = False
        return snapshot

    def _create(
        self, table: Table, relation: str, files: Sequence[Path], cursor: Any
    ) -> str:
        """Return SQL that creates a relation with the rows of the files. The rows are
        sorted, and an additional column contains the position of each row.
        """
        kinds = {c.name: c.type for c in table.columns if c.name == table.partition}
        scan = data_files(files, kinds)
        has: List[str] = []
        if files:
            described = cursor.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
            has = [row[0] for row in described]
        others = [c.name for c in table.columns if c.name not in table.key]
        by = ", ".join(name(column) for column in [*table.key, *others])
        position = name(position_column(table.columns))
        return (
            f"CREATE TABLE {name(relation)} AS SELECT *,"
            f" row_number() OVER (ORDER BY {by}) - 1 AS {position}"
            f" FROM ({declared_columns(table, scan, has, naive=True)})"
            f" ORDER BY {position}"
        )

    def _drop(self, relation: str) -> None:
        try:
            with self._dropping, self.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {name(relation)}")
        except duckdb.ConnectionException:  # the service has already stopped
            pass


def attempt(call: Callable[..., T], *arguments: Any) -> T:
    """Call a method of `Reader` and return its result.

    Every error except VersionGoneError and AbandonedError becomes UnreadableError, so
    that an unreadable table never stops the service.
    """
    try:
        return call(*arguments)
    except (VersionGoneError, AbandonedError):
        raise
    except BaseException as error:  # noqa: B036  # a panic of delta-rs is one
        reason = str(error).strip().partition("\n")[0]
        raise UnreadableError(f"{type(error).__name__}: {reason}") from error


def _head(delta: DeltaTable) -> Head:
    return Head(delta.version(), delta_log.identity(delta))


def _measure(table: Table, relation: str, cursor: Any) -> Tuple[FrozenSet[str], int]:
    """Return the names of the far columns, and the number of rows.

    A far column has dates or instants outside the years 1 to 9999.
    """
    columns = [column for column in table.columns if column.type in FAR]
    outside = [
        f"bool_or({name(c.name)} NOT BETWEEN {' AND '.join(FAR[c.type])})"
        for c in columns
    ]
    measures = ", ".join(["count(*)", *outside])
    rows, *found = cursor.execute(f"SELECT {measures} FROM {name(relation)}").fetchone()
    far = frozenset(c.name for c, is_far in zip(columns, found) if is_far)
    return far, rows
