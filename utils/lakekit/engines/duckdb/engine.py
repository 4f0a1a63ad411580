"""The embedded engine: DuckDB computes rows and writes Parquet, and delta-rs writes the
log.

Rows are first staged. One commit then makes the staged rows part of the table. The
commit succeeds only if the table is still at the version that was read
(`lakekit.engines.duckdb.commits`). If a whole table is replaced, its new rows are
staged as data files. If only some rows are added or replaced, the new rows stay in
DuckDB until the commit writes them to new data files.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from lakekit.declarations import value_limits
from lakekit.declarations.names import listed
from lakekit.declarations.sql_cache import SqlCache, cache_folder
from lakekit.declarations.tables import Column, Source, Table, TableSet
from lakekit.engines.duckdb import delta_log, statements
from lakekit.engines.duckdb.delta_tables import DeltaTables
from lakekit.engines.duckdb.staging import DataFile, Staging
from lakekit.engines.engine import FileInspection, Head, Note, Staged
from lakekit.engines.retries import retried
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DamagedLogError,
    DamagedTableError,
    DeclarationError,
    MissingExtraError,
    SourceError,
    StorageError,
)
from lakekit.sources.files import OpenedFile
from lakekit.storage import log_replay
from lakekit.storage.files import storage_of
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import log_files
from lakekit.storage.log_restore import RestoreOutcome
from lakekit.storage.versions import Version

try:
    import duckdb
    from deltalake import Transaction
    from deltalake.exceptions import DeltaError
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing

from lakekit.engines.duckdb.commits import Commits

DAMAGES = (
    DeltaError,
    FileNotFoundError,
    StorageError,
    DamagedTableError,
    DamagedLogError,
)
"""The errors that are raised if a version cannot be read."""
Shape = Tuple[str, Tuple[Column, ...], int]
"""The name of a table, the columns to read, and the version of the table."""


class EmbeddedEngine:
    """A connection to one lake in a folder or on S3. Rows that do not fit into memory
    are stored in the scratch folder.
    """

    name = "embedded"
    version = f"duckdb {duckdb.__version__}"

    def __init__(
        self, lake: Lake, tables: TableSet, scratch: Path, memory: str = ""
    ) -> None:
        self._lake, self._declared = lake, tables
        self._storage = storage_of(lake, scratch)
        self._staging = Staging(scratch, memory)
        self._tables = DeltaTables(lake)
        self._commits = Commits(self._tables, self._storage, self._staging)
        self._sql_cache = SqlCache(cache_folder(os.environ))
        self._scans: Dict[Shape, str] = {}
        self._views: Dict[str, Shape] = {}
        self._nets: Set[str] = set()

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._staging.close()

    # State of the tables

    def head(self, table: Table) -> Optional[Head]:
        return self._tables.head(table)

    def damaged_files(self, table: Table) -> Mapping[str, str]:
        location = self._lake.location(table)
        if self._lake.kind == "folder":
            log_replay.check_newest(log_files(self._lake, table))
        with delta_log.reading(table, location):
            return self._storage.damaged(
                location, delta_log.file_sizes(self._tables.now(table))
            )

    def rows(self, table: Table) -> int:
        delta = self._tables.open(table)
        counts = [] if delta is None else delta_log.record_counts(delta)
        if None not in counts:
            return sum(count or 0 for count in counts)
        self.read(table, "_rows")
        return int(self.query("select count(*) from _rows")[0][0])

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        delta = self._tables.open(table)
        return [] if delta is None else delta_log.notes(delta, since)

    def ingested(self, table: Table, digests: Sequence[str]) -> FrozenSet[str]:
        if not digests:
            return frozenset()
        self.read(table, "_ingested")
        these = ", ".join(map(statements.text, digests))
        # The rows of a file are stored together, so that min/max statistics exclude the
        # rows of other files.
        found = (
            "select distinct _source_sha256 from _ingested"
            f" where _source_sha256 in ({these})"
        )
        return frozenset(row[0] for row in self.query(found))

    # Tables and their schemas

    def create(self, table: Table) -> None:
        location = self._lake.location(table)
        if self._lake.kind == "folder":
            self._staging.make(Path(location))
        try:
            with self._tables.changing(table):
                delta_log.create(table, location)
        except (ConflictError, StorageError):
            # Older delta-rs raises a plain DeltaError if another writer committed
            # first.
            if self._tables.open(table) is None:
                raise
        have = self.head(table)
        for constraint in table.constraints:
            if have is None or constraint.name.lower() not in have.constraints:
                self.add_constraint(table, constraint.name, constraint.sql)

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        with self._tables.changing(table):
            self._tables.now(table).alter.add_columns(delta_log.fields(columns))

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        with self._tables.changing(table):
            self._tables.now(table).alter.add_constraint({name: sql})

    def drop_constraint(self, table: Table, name: str) -> None:
        with self._tables.changing(table):
            self._tables.now(table).alter.drop_constraint(name)

    # Sources

    def inspect(
        self, table: Table, opened: OpenedFile, at: datetime.datetime
    ) -> FileInspection:
        kinds: List[str] = []
        if opened.format == "parquet":
            scan = (
                f"read_parquet({statements.file(opened.path)},"
                " hive_partitioning = false)"
            )
            found = self.query(f"DESCRIBE SELECT * FROM {scan}")
            kinds = [row[1] for row in found]
            statements.check_nanoseconds(opened, kinds)
        origin = {
            "_source_file": statements.text(opened.name),
            "_source_sha256": statements.text(opened.digest),
            "_source_row": "row_number() OVER ()",
            "_ingested_at": f"TIMESTAMPTZ '{at.isoformat()}'",
        }
        view = _file(table, opened)
        try:
            files = self._stage_files(
                table, view, statements.read_file(opened, kinds, origin)
            )
        except (duckdb.Error, StorageError) as error:
            # A damaged source file may also cause a StorageError.
            fault = opened.find_fault()
            if fault is None and isinstance(error, StorageError):
                raise
            reason = fault or f": {delta_log.first_line(error)}"
            raise SourceError(f"{opened.given}{reason}") from error
        opened.check_unchanged()
        columns = opened.source.columns
        counts = ", ".join(
            f"count(*) FILTER {statements.misfit(each, opened.source)}"
            for each in columns
        )
        first = self.query(f"SELECT {counts} FROM {view}")[0]
        return FileInspection(
            sum(file.rows for file in files),
            {each.name: int(n) for each, n in zip(columns, first)},
        )

    def append(self, table: Table, opened: OpenedFile, note: Note) -> Optional[int]:
        view, application = _file(table, opened), f"lakekit/{opened.digest}"

        def attempt() -> Optional[int]:
            # Check the version to which the commit adds rows, because another writer
            # may have ingested the file.
            delta = self._tables.now(table)
            before = delta.transaction_version(application)
            if before is not None and (
                self.ingested(table, [opened.digest]) or not delta_log.restored(delta)
            ):
                self._staging.discard(view)
                return None
            # If a RESTORE removed the rows of a file, ingest the file again with the
            # next transaction version. But if a user deleted the rows of the file, do
            # not ingest the file again.
            transaction = Transaction(application, (before or 0) + 1)
            try:
                return self._commits.append(table, view, note, transaction)
            except ConflictError:
                self._tables.forget(table)
                raise

        return retried(attempt)

    # SQL

    def read(self, table: Table, view: str) -> None:
        delta = self._tables.now(table)
        at = (table.name, table.columns, delta.version())
        if self._views.get(view) != at:
            if at not in self._scans:
                try:
                    files = self._fetch(table, delta_log.uris(delta))
                except FileNotFoundError as error:
                    raise DamagedTableError(
                        table.name, str(error), "is missing", None
                    ) from error
                self._scans[at] = self._staging.over(
                    table, files, delta_log.partition(delta)
                )
            self._staging.name(view, "VIEW", self._scans[at])
            self._views[view] = at

    def changes(self, table: Table, since: int, view: str) -> bool:
        now = self._tables.now(table)
        try:
            if delta_log.restored(now, since):
                return False  # files of the restored version may be damaged
            since = delta_log.settled(now, since)
            once = _net(table, since, now.version())
            if once in self._nets:
                # Several tables may read the same changes, so the net difference is
                # stored.
                self.define(view, f"select * from {once}")
                return True
            before = self._tables.before(table, since)
            old, new = set(delta_log.uris(before)), set(delta_log.uris(now))
            gone, come = self._fetch(table, sorted(old - new)), self._fetch(
                table, sorted(new - old)
            )
        except DAMAGES:
            return False
        columns = ", ".join(statements.name(column.name) for column in table.columns)
        came = self._staging.over(table, come, delta_log.partition(now))
        if not gone:
            self.define(view, f"select {columns}, 1 as _sign from ({came})")
            return True
        went = self._staging.over(table, gone, delta_log.partition(before))
        self._nets.add(self._keep_net(table, since, now.version(), came, went))
        self.define(view, f"select * from {once}")
        return True

    def define(self, view: str, sql: str) -> None:
        self._views.pop(view, None)
        self._staging.name(view, "VIEW", sql)

    def define_empty(self, table: Table, view: str) -> None:
        no_files = statements.data_files([], {})
        self.define(view, statements.declared_columns(table, no_files, ()))

    def keep(self, view: str, sql: str) -> int:
        self._views.pop(view, None)
        return self._staging.name(view, "TABLE", sql)

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        return self._staging.execute(sql)

    def misfit(self, column: Column, source: Source) -> str:
        return statements.misfit(column, source)

    def predicate(self, table: str, sql: str) -> str:
        return self._sql_cache.predicate(table, sql)

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        return self._sql_cache.query(table.name, sql, views)

    def check(self, table: Table, where: str, sql: str) -> None:
        try:
            found = [(name, kind) for name, kind, *_ in self.query(f"DESCRIBE {sql}")]
            statements.as_declared(table, sql, found)
        except DeclarationError as error:
            raise DeclarationError(table.name, f"{where}{error.what}") from error
        except duckdb.Error as error:
            what = statements.sql_reason(str(error))
            raise DeclarationError(table.name, f"{where}{what}") from error

    # Writing

    def stage(self, table: Table, view: str, sql: str, part: bool = False) -> Staged:
        try:
            by = table[table.partition].type if table.partition else None
            # If the partition column is a string, rows must be checked before the
            # column's values become folder names.
            if part or by == "string":
                self._views.pop(view, None)
                return Staged(view, self._staging.hold(table, view, sql))
            found = [(name, kind) for name, kind, *_ in self.query(f"DESCRIBE {sql}")]
            files = self._stage_files(
                table, view, statements.as_declared(table, sql, found)
            )
        except (
            duckdb.DataError,
            duckdb.ProgrammingError,
            duckdb.InternalError,
        ) as error:
            raise ComputeError(table.name, delta_log.first_line(error)) from error
        return Staged(view, sum(file.rows for file in files))

    def commit(
        self,
        table: Table,
        staged: Staged,
        head: Head,
        note: Note,
        keys: Optional[str] = None,
    ) -> int:
        self._check(table, staged)
        if keys is None:
            return self._commits.replace(table, staged.view, head, note)
        self._tables.at(table, head)
        self.read(table, "_target")
        gone = f"select * from _target semi join {keys} using ({listed(table.key)})"
        self._staging.name("_gone", "TABLE", gone)
        by = listed([table.partition]) if table.partition else "1"
        touched = self.query(f"select distinct {by} from _gone")
        nets = set()
        if any(
            table.name in other.reads and other.update in ("merge", "groups")
            for other in self._declared
        ):
            nets.add(
                self._keep_net(
                    table,
                    head.version,
                    head.version + 1,
                    f"from {staged.view}",
                    "from _gone",
                )
            )
        if touched:
            version = self._commits.merge(
                table, staged.view, head, note, keys, [row[0] for row in touched]
            )
        else:
            version = self._commits.add(table, staged.view, head, note)
        self._nets |= nets
        return version

    def advance(self, table: Table, head: Head, note: Note) -> int:
        return self._commits.advance(table, head, note)

    # Maintenance

    def optimize(self, table: Table) -> Mapping[str, int]:
        delta = self._tables.now(table)
        if not delta_log.gains_by_compaction(delta):
            return {"files_removed": 0, "files_added": 0}
        with self._tables.changing(table):
            metrics = delta.optimize.compact()
        return {
            "files_removed": int(metrics["numFilesRemoved"]),
            "files_added": int(metrics["numFilesAdded"]),
        }

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        with self._tables.changing(table):
            return sorted(
                self._tables.now(table).vacuum(hours, dry_run=dry_run, full=True)
            )

    def versions(self, table: Table) -> Tuple[Version, ...]:
        return log_replay.versions(log_files(self._lake, table))

    def check_log(self, table: Table) -> None:
        log_replay.check_commits(log_files(self._lake, table))

    def restore(self, table: Table, version: int, dry_run: bool) -> RestoreOutcome:
        return self._tables.restore(
            table, log_files(self._lake, table), version, dry_run
        )

    # Internal methods

    def _stage_files(self, table: Table, view: str, query: str) -> Tuple[DataFile, ...]:
        """Write rows to data files. The files are written to their final paths or, for
        a lake on S3, to the folder from which they are uploaded.
        """
        self._views.pop(view, None)
        return self._staging.write(
            table, self._storage.staging(self._lake.location(table)), view, query
        )

    def _fetch(self, table: Table, uris: List[str]) -> List[Path]:
        return self._storage.fetch(self._lake.location(table), uris)

    def _check(self, table: Table, staged: Staged) -> None:
        """Raise ComputeError for nulls in required columns and for violated CHECK
        constraints. The engine must check the rows, because delta-rs does not check
        data files that DuckDB wrote.
        """
        counted = self._staging.in_files(staged.view)
        if counted:
            self._check_counted_nulls(table, staged)
        faults = [
            *value_limits.faults(table),
            *(
                (
                    f"column {column.name} is required and has {{}} nulls",
                    f"{statements.name(column.name)} is null",
                )
                for column in table.columns
                if column.required and (not counted or column.name == table.partition)
            ),
            *(
                (
                    f"{{}} rows violate the constraint {each.name}",
                    f"not coalesce({self.predicate(table.name, each.sql)}, false)",
                )
                for each in table.constraints
            ),
        ]
        self._raise_faults(table, staged, faults)

    def _check_counted_nulls(self, table: Table, staged: Staged) -> None:
        """Raise ComputeError if the null counts of data files show nulls in required
        columns.

        The partition column has no null count, because its values are in the names of
        folders.
        """
        files = self._staging.files(staged.view)
        for column in table.columns:
            if column.required and column.name != table.partition:
                nulls = sum(file.nulls.get(column.name, 0) for file in files)
                if nulls:
                    raise ComputeError(
                        table.name,
                        f"column {column.name} is required and has {nulls} nulls",
                    )

    def _raise_faults(
        self, table: Table, staged: Staged, faults: Sequence[Tuple[str, str]]
    ) -> None:
        """Raise ComputeError for the first fault of the staged rows. Each item of
        `faults` has a text, and SQL that is true for faulty rows.
        """
        if not faults:
            return
        counts = ", ".join(f"count(*) filter ({fault})" for _, fault in faults)
        found = self.query(f"select {counts} from {staged.view}")[0]
        for (fault, _), rows in zip(faults, found):
            if rows:
                raise ComputeError(table.name, fault.format(rows))

    def _keep_net(
        self, table: Table, since: int, now: int, come: str, gone: str
    ) -> str:
        """Store the net difference between two versions of a table; return the name of
        the result.

        `come` is SQL for the added rows, and `gone` is SQL for the removed rows.
        """
        columns = ", ".join(statements.name(column.name) for column in table.columns)
        both = (
            f"select {columns}, 1 as _sign from ({come})"
            f" union all select {columns}, -1 from ({gone})"
        )
        net = (
            f"select {columns}, sum(_sign) as _sign from ({both}) group by {columns}"
            " having sum(_sign) <> 0"
        )
        self.keep(_net(table, since, now), net)
        return _net(table, since, now)


def _file(table: Table, opened: OpenedFile) -> str:
    """Return the name under which the rows of a source file are staged. The name
    contains the table's name, because the sources of two tables may have files with the
    same content.
    """
    return f"_file_{'_'.join(table.folder.parts)}_{opened.digest}"


def _net(table: Table, since: int, now: int) -> str:
    """Return the name under which the net difference between two versions is stored."""
    return f"_net_{'_'.join(table.folder.parts)}_{since}_{now}"
