"""The engine of one machine: DuckDB computes and writes Parquet, delta-rs keeps the Delta log.

Rows are first staged as data files that no version of the table names, and then made current by one commit, made only
while the table still is at the version that was read. A staged file that never gets its commit is deleted; one that a
killed process leaves is removed by Delta's VACUUM like any other file that no version names.
"""

from __future__ import annotations

import datetime
import random
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from lakekit import delta_log, statements
from lakekit.engine import Head, Inspected, Note, Staged
from lakekit.errors import (
    ComputeError,
    ConflictError,
    LakeRefused,
    MissingExtra,
    SourceError,
    StorageError,
)
from lakekit.lake import Lake
from lakekit.sources import OpenedFile
from lakekit.staging import DataFile, Staging
from lakekit.storage import storage_of
from lakekit.tables import Column, Source, Table, TableSet

try:
    import duckdb
    import pyarrow.parquet as pq
    from deltalake import CommitProperties, DeltaTable, Transaction
    from deltalake import __version__ as DELTALAKE
    from deltalake import write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError
except ModuleNotFoundError as missing:
    raise MissingExtra(str(missing.name), "embedded") from missing

APPEND_TRIES = 20
OLD_WRITER = tuple(int(part) for part in DELTALAKE.split(".")[:2]) < (1, 6)
"""delta-rs before 1.6 writes no transaction identifier with files that it did not write itself, and keeps a table's
partitioning for ever."""


class EmbeddedEngine:
    """One run's connection to one lake in a folder or on S3. The scratch folder takes what does not fit in memory."""

    name = "embedded"

    def __init__(self, lake: Lake, tables: TableSet, scratch: Path, memory: str = "") -> None:
        self._lake, self._tables = lake, tables
        self._storage = storage_of(lake, scratch)
        self._staging = Staging(scratch, memory)
        self._seen: Dict[str, DeltaTable] = {}
        self._views: Dict[str, Tuple[str, int]] = {}

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._staging.close()

    # What there is

    def head(self, table: Table) -> Optional[Head]:
        self._seen.pop(table.name, None)
        delta = self._open(table)
        return None if delta is None else delta_log.head(table, delta)

    def rows(self, table: Table) -> int:
        delta = self._open(table)
        counts = [] if delta is None else delta_log.record_counts(delta)
        if None not in counts:
            return sum(count or 0 for count in counts)
        self.read(table, "_rows")
        return int(self.query("select count(*) from _rows")[0][0])

    def notes(self, table: Table, since: int) -> List[Optional[Note]]:
        delta = self._open(table)
        return [] if delta is None else delta_log.notes(delta, since)

    def ingested(self, table: Table) -> FrozenSet[str]:
        self.read(table, "_ingested")
        return frozenset(row[0] for row in self.query("select distinct _source_sha256 from _ingested"))

    # Tables and their shape

    def create(self, table: Table) -> None:
        location = self._lake.location(table)
        if self._lake.kind == "folder":
            self._staging.make(Path(location))
        try:
            with self._changing(table):
                delta_log.create(table, location)
        except (
            ConflictError,
            StorageError,
        ):  # the older delta-rs tells a writer that was first by a plain DeltaError
            if self._open(table) is None:
                raise
        have = self.head(table)
        for constraint in table.constraints:
            if have is None or constraint.name.lower() not in have.constraints:
                self.add_constraint(table, constraint.name, constraint.sql)

    def add_columns(self, table: Table, columns: Sequence[Column]) -> None:
        with self._changing(table):
            self._delta(table).alter.add_columns(delta_log.fields(columns))

    def add_constraint(self, table: Table, name: str, sql: str) -> None:
        with self._changing(table):
            self._delta(table).alter.add_constraint({name: sql})

    def drop_constraint(self, table: Table, name: str) -> None:
        with self._changing(table):
            self._delta(table).alter.drop_constraint(name)

    # Sources

    def inspect(self, table: Table, opened: OpenedFile, at: datetime.datetime) -> Inspected:
        kinds: List[str] = []
        if opened.format == "parquet":
            scan = f"read_parquet({statements.file(opened.path)}, hive_partitioning = false)"
            found = self.query(f"DESCRIBE SELECT * FROM {scan}")
            kinds = [row[1] for row in found]
        origin = {
            "_source_file": statements.text(opened.name),
            "_source_sha256": statements.text(opened.digest),
            "_source_row": "row_number() OVER ()",
            "_ingested_at": f"TIMESTAMPTZ '{at.isoformat()}'",
        }
        view = f"_file_{opened.digest}"
        try:
            files = self._stage_files(table, view, statements.read_file(opened, kinds, origin))
        except duckdb.InvalidInputException as error:
            raise SourceError(f"{opened.given}{statements.csv_reason(str(error))}") from error
        opened.check_unchanged()
        columns = opened.source.columns
        counts = ", ".join(f"count(*) FILTER {statements.misfit(each, opened.source)}" for each in columns)
        first = self.query(f"SELECT {counts} FROM {view}")[0]
        return Inspected(
            sum(file.rows for file in files), {each.name: int(n) for each, n in zip(columns, first)}
        )

    def append(self, table: Table, opened: OpenedFile, at: datetime.datetime, note: Note) -> Optional[int]:
        view, application = f"_file_{opened.digest}", f"lakekit/{opened.digest}"
        files = self._staging.files(view)
        for attempt in range(APPEND_TRIES):
            self._seen.pop(table.name, None)
            delta = self._delta(table)
            before = delta.transaction_version(application)
            if before is not None and (
                opened.digest in self.ingested(table) or not delta_log.restored(delta)
            ):
                self._staging.discard(view)
                return None
            # Taken in before, and gone by a RESTORE of the table: taken in again under the next number. Rows that were
            # deleted stay away.
            transaction = Transaction(application, (before or 0) + 1)
            try:
                if OLD_WRITER:
                    staged = pq.read_table(self._storage.staging(self._lake.location(table)) / files[0].name)
                    properties = _properties(note, transaction)
                    rows = delta_log.completed(staged, delta)
                    write_deltalake(delta, rows, mode="append", commit_properties=properties)
                    self._staging.discard(view)
                else:
                    self._write(table, delta, files, "append", note, transaction)
                    self._staging.kept(view)
                self._seen.pop(table.name)
                return self._delta(table).version()
            except (CommitFailedError, ConflictError):
                # Another writer was first: look again whether it wrote this very file, then try the next version.
                time.sleep(random.uniform(0.0, 0.02 * (attempt + 1)))
            except DeltaError as error:
                raise StorageError(Path(self._lake.location(table)), _first_line(error)) from error
        raise ConflictError(table.name)

    # SQL

    def read(self, table: Table, view: str) -> None:
        delta = self._delta(table)
        if self._views.get(view) != (table.name, delta.version()):
            self._staging.over(
                table, view, self._fetch(table, delta_log.uris(delta)), delta_log.partition(delta)
            )
            self._views[view] = (table.name, delta.version())

    def changes(self, table: Table, since: int, view: str) -> bool:
        now = self._delta(table)
        try:
            since = delta_log.settled(now, since)
            before = DeltaTable(self._lake.location(table), version=since)
            old, new = set(delta_log.uris(before)), set(delta_log.uris(now))
            gone, come = self._fetch(table, sorted(old - new)), self._fetch(table, sorted(new - old))
        except (DeltaError, FileNotFoundError, StorageError):
            return False
        self._staging.over(table, f"{view}_come", come, delta_log.partition(now))
        columns = ", ".join(statements.name(column.name) for column in table.columns)
        if not gone:
            self.define(view, f"select {columns}, 1 as _sign from {view}_come")
            return True
        self._staging.over(table, f"{view}_gone", gone, delta_log.partition(before))
        both = (
            f"select {columns}, 1 as _sign from {view}_come union all select {columns}, -1 from {view}_gone"
        )
        net = f"select {columns}, sum(_sign) as _sign from ({both}) group by {columns} having sum(_sign) <> 0"
        # Several tables follow one: what they all ask for is computed once.
        once = f"_net_{'_'.join(table.folder.parts)}_{since}_{now.version()}"
        self.query(f"CREATE TEMP TABLE IF NOT EXISTS {once} AS {net}")
        self.define(view, f"select * from {once}")
        return True

    def define(self, view: str, sql: str) -> None:
        self._views.pop(view, None)
        self._staging.name(view, "VIEW", sql)

    def keep(self, view: str, sql: str) -> int:
        self._views.pop(view, None)
        self._staging.name(view, "TABLE", sql)
        return int(self.query(f"SELECT count(*) FROM {view}")[0][0])

    def query(self, sql: str) -> List[Tuple[Any, ...]]:
        return self._staging.execute(sql)

    def misfit(self, column: Column, source: Source) -> str:
        return statements.misfit(column, source)

    def predicate(self, table: str, sql: str) -> str:
        from lakekit import (
            transpile,  # sqlglot takes a third of a second to import, and a run without news needs none
        )

        return transpile.duckdb(transpile.parse_predicate(table, sql), table)

    def transform(self, table: Table, sql: str, views: Mapping[str, str]) -> str:
        from lakekit import transpile  # as in `predicate`

        query = transpile.parse_query(table.name, sql, views)
        return transpile.duckdb(transpile.with_views(query, views), table.name)

    # Writing

    def stage(self, table: Table, view: str, sql: str) -> Staged:
        try:
            found = [(name, kind) for name, kind, *_ in self.query(f"DESCRIBE {sql}")]
            files = self._stage_files(table, view, statements.as_declared(table, sql, found))
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.InternalError) as error:
            raise ComputeError(table.name, _first_line(error)) from error
        return Staged(view, sum(file.rows for file in files))

    def commit(self, table: Table, staged: Staged, head: Head, note: Note, keys: Optional[str] = None) -> int:
        self._check(table, staged)
        view, mode, partitions = staged.view, "overwrite", None
        if keys is not None:
            touched = self._touched(table, keys)
            if not touched:
                mode = "append"
            else:
                view, partitions = self._merged(table, staged, keys, touched)
        delta = self._delta(table)
        if delta.version() != head.version:
            raise ConflictError(table.name)
        try:
            if set(delta_log.partition(delta)) != ({table.partition} - {""}):
                self._repartition(table, delta, view, note)
                return head.version + 1
            self._write(table, delta, self._staging.files(view), mode, note, None, partitions)
        except (DeltaError, OSError) as error:
            self._seen.pop(table.name)
            if self._delta(table).version() != head.version:
                raise ConflictError(table.name) from error
            raise StorageError(Path(self._lake.location(table)), _first_line(error)) from error
        self._staging.kept(view)
        self._seen.pop(table.name)
        return head.version + 1

    def advance(self, table: Table, head: Head, note: Note) -> int:
        delta = self._delta(table)
        if delta.version() != head.version:
            raise ConflictError(table.name)
        try:
            self._write(table, delta, [], "append", note)
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        self._seen.pop(table.name)
        return head.version + 1

    # Care

    def optimize(self, table: Table) -> Mapping[str, int]:
        delta = self._delta(table)
        if not delta_log.gains_by_compaction(delta):
            return {"files_removed": 0, "files_added": 0}
        with self._changing(table):
            metrics = delta.optimize.compact()
        return {
            "files_removed": int(metrics["numFilesRemoved"]),
            "files_added": int(metrics["numFilesAdded"]),
        }

    def vacuum(self, table: Table, hours: int, dry_run: bool) -> List[str]:
        with self._changing(table):
            return sorted(self._delta(table).vacuum(hours, dry_run=dry_run, full=True))

    # Inside

    def _open(self, table: Table) -> Optional[DeltaTable]:
        """The table as `head` last saw it, or as it is now where it has not: reads of one update see one version."""
        delta = self._seen.get(table.name) or delta_log.open_table(self._lake, table)
        if delta is not None:
            self._seen[table.name] = delta
        return delta

    @contextmanager
    def _changing(self, table: Table) -> Iterator[None]:
        """A change to the log by delta-rs itself; what it raises becomes a ConflictError or a StorageError."""
        try:
            yield
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        except (DeltaError, OSError) as error:
            raise StorageError(Path(self._lake.location(table)), _first_line(error)) from error
        finally:
            self._seen.pop(table.name, None)

    def _delta(self, table: Table) -> DeltaTable:
        delta = self._open(table)
        if delta is None:
            raise StorageError(Path(self._lake.location(table)), "the table is gone")
        return delta

    def _stage_files(self, table: Table, view: str, query: str) -> Tuple[DataFile, ...]:
        """Write rows as data files of the table where they are to stay, or on S3 to be sent from."""
        self._views.pop(view, None)
        return self._staging.write(table, self._storage.staging(self._lake.location(table)), view, query)

    def _fetch(self, table: Table, uris: List[str]) -> List[Path]:
        return self._storage.fetch(self._lake.location(table), uris)

    def _check(self, table: Table, staged: Staged) -> None:
        """What delta-rs does not check of files that it did not write: nulls in required columns, CHECK constraints."""
        for column in table.columns:
            nulls = sum(file.nulls.get(column.name, 0) for file in self._staging.files(staged.view))
            if column.name == table.partition:  # it stands in the names of folders, not in the files
                nulls = self.query(f"select count(*) from {staged.view} where {column.name} is null")[0][0]
            if column.required and nulls:
                raise ComputeError(table.name, f"column {column.name} is required and has {nulls} nulls")
        for constraint in table.constraints:
            met = self.predicate(table.name, constraint.sql)
            broken = self.query(f"select count(*) from {staged.view} where not coalesce({met}, false)")[0][0]
            if broken:
                raise ComputeError(table.name, f"{broken} rows break the constraint {constraint.name}")

    def _touched(self, table: Table, keys: str) -> List[Any]:
        """The partitions (or whether, for a table without) that hold rows with one of the keys."""
        self.read(table, "_target")
        held = f"select {table.partition or '1'} from _target semi join {keys} using ({', '.join(table.key)})"
        limit = "" if table.partition else " limit 1"
        return [row[0] for row in self.query(f"select distinct * from ({held}){limit}")]

    def _merged(
        self, table: Table, staged: Staged, keys: str, touched: List[Any]
    ) -> Tuple[str, Optional[List[str]]]:
        """Stage the new content of all partitions that lose or gain rows; the view, and the partitions."""
        columns = ", ".join(statements.name(column.name) for column in table.columns)
        kept = f"select {columns} from _target anti join {keys} using ({', '.join(table.key)})"
        partitions = None
        if table.partition:
            gained = self.query(f"select distinct {table.partition} from {staged.view}")
            partitions = sorted({str(value) for value in [*touched, *(row[0] for row in gained)]})
            these = ", ".join(statements.text(value) for value in partitions)
            kind = statements.TYPES[table[table.partition].type]
            kept = f"select * from ({kept}) where {table.partition} in (select cast(unnest([{these}]) as {kind}))"
        view = f"{staged.view}_merged"
        self._stage_files(
            table, view, f"select * from ({kept}) union all select {columns} from {staged.view}"
        )
        self._staging.discard(staged.view)
        return view, partitions

    def _repartition(self, table: Table, delta: DeltaTable, view: str, note: Note) -> None:
        """Replace rows, schema and partitioning in one commit, which only delta-rs' own writer can."""
        if OLD_WRITER:
            raise LakeRefused(
                f"{table.name} keeps its partitioning with deltalake {DELTALAKE}, and stays as it was",
                "Run once with deltalake 1.6 or newer, which needs Python 3.10, or with --engine spark.",
            )
        rows = self._staging.duckdb.sql(f"select * from {view}").to_arrow_table()
        rows = rows.cast(delta_log.arrow_schema(table.columns))
        by = [table.partition] if table.partition else None
        properties = _properties(note, None)
        write_deltalake(
            delta,
            rows,
            mode="overwrite",
            schema_mode="overwrite",
            partition_by=by,
            commit_properties=properties,
        )
        self._staging.discard(view)
        self._seen.pop(table.name)

    def _write(
        self,
        table: Table,
        delta: DeltaTable,
        files: Sequence[DataFile],
        mode: Any,
        note: Note,
        transaction: Optional[Transaction] = None,
        partitions: Optional[List[str]] = None,
    ) -> None:
        location = self._lake.location(table)
        self._storage.publish(location, [file.name for file in files])
        filters = [(table.partition, "in", partitions)] if partitions is not None else None
        by = [table.partition] if table.partition else []
        if mode == "overwrite":
            schema = delta_log.schema(delta_log.columns_to_keep(table, delta))
        else:
            schema = delta.schema()
        actions: List[Any] = [file.action() for file in files]
        delta.create_write_transaction(
            actions, mode, schema, by, filters, commit_properties=_properties(note, transaction)
        )


def _properties(note: Note, transaction: Optional[Transaction]) -> CommitProperties:
    transactions = None if transaction is None else [transaction]
    metadata = {"userMetadata": note.text()}
    return CommitProperties(custom_metadata=metadata, max_commit_retries=0, app_transactions=transactions)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
