"""Makes the commits of the embedded engine.

DuckDB writes the data files, and delta-rs adds the files to the log.

A commit succeeds only if the table is still at the version that was read. Staged files
that are not committed are deleted when the engine is closed. If the process is killed,
Delta's VACUUM later deletes the staged files, like all other files that no version
uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Sequence

from lakekit.declarations.tables import Table
from lakekit.engines.duckdb import delta_log, statements
from lakekit.engines.duckdb.delta_tables import DeltaTables
from lakekit.engines.duckdb.staging import DataFile, Staging
from lakekit.engines.engine import Head, Note
from lakekit.errors import (
    ConflictError,
    InvalidLakeError,
    MissingExtraError,
    StorageError,
)
from lakekit.storage.files import Storage

try:
    from deltalake import (
        CommitProperties,
        DeltaTable,
        Transaction,
        __version__ as DELTALAKE,
        write_deltalake,
    )
    from deltalake.exceptions import CommitFailedError, DeltaError
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing

OLD_WRITER = tuple(int(part) for part in DELTALAKE.split(".")[:2]) < (1, 6)
"""Whether delta-rs is older than 1.6.

Before 1.6, delta-rs cannot make a commit that has both a transaction identifier and
files that another writer wrote. Before 1.6, delta-rs also cannot change a table's
partitioning.
"""


class Commits:
    """Makes commits to the tables of one lake."""

    def __init__(self, tables: DeltaTables, storage: Storage, staging: Staging) -> None:
        self._tables, self._storage, self._staging = tables, storage, staging

    def append(
        self, table: Table, view: str, note: Note, transaction: Transaction
    ) -> int:
        """Append staged rows to the version of the table that was read.

        Return the new version. Raises ConflictError if another writer committed first.
        """
        delta, files = self._tables.now(table), self._staging.files(view)
        try:
            if OLD_WRITER:
                import pyarrow.parquet as pq  # a slow import (40 ms)

                staged = pq.read_table(
                    self._storage.staging(self._tables.location(table)) / files[0].name
                )
                rows = delta_log.completed(staged, delta)
                properties = _properties(note, transaction)
                write_deltalake(
                    delta, rows, mode="append", commit_properties=properties
                )
                self._staging.discard(view)
            else:
                self._write(table, delta, files, "append", note, transaction)
                self._staging.release(view)
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        except DeltaError as error:
            raise StorageError(
                Path(self._tables.location(table)), delta_log.first_line(error)
            ) from error
        return self._tables.move_on(table)

    def replace(self, table: Table, view: str, head: Head, note: Note) -> int:
        """Replace all rows of the table with staged rows; return the new version.
        Raises ConflictError if another writer committed first.
        """
        delta = self._tables.at(table, head)
        if set(delta_log.partition(delta)) == ({table.partition} - {""}):
            return self._commit(table, view, head, note, "overwrite")
        self._repartition(table, delta, view, note)
        return head.version + 1

    def add(self, table: Table, view: str, head: Head, note: Note) -> int:
        """Add staged rows; return the new version. Raises ConflictError if another
        writer committed first.
        """
        return self._commit(table, view, head, note, "append")

    def merge(
        self,
        table: Table,
        view: str,
        head: Head,
        note: Note,
        keys: str,
        touched: Sequence[Any],
    ) -> int:
        """Replace the rows whose keys are in `keys` by staged rows; return the new
        version.

        Rewrites the partitions that lose rows (`touched`) and the partitions that gain
        rows. The existing rows are read from the view `_target`. Raises ConflictError
        if another writer committed first.
        """
        columns = ", ".join(statements.name(column.name) for column in table.columns)
        rows = (
            f"select {columns} from _target anti join {keys} using"
            f" ({', '.join(map(statements.name, table.key))})"
        )
        partitions = None
        if table.partition:
            gained = self._staging.execute(
                f"select distinct {statements.name(table.partition)} from {view}"
            )
            partitions = sorted(
                {str(value) for value in [*touched, *(row[0] for row in gained)]}
            )
            kind = statements.TYPES[table[table.partition].type]
            these = ", ".join(
                f"CAST({statements.text(value)} AS {kind})" for value in partitions
            )
            rows += (  # literals, so that Delta reads only these partitions
                f" where {statements.name(table.partition)} in ({these})"
            )
        merged = f"{view}_merged"
        query = f"select * from ({rows}) union all select {columns} from {view}"
        self._stage(table, merged, query, partitions or ())
        self._staging.discard(view)
        return self._commit(table, merged, head, note, "overwrite", partitions)

    def advance(self, table: Table, head: Head, note: Note) -> int:
        """Commit a note without rows; return the new version. Raises ConflictError if
        another writer committed first.
        """
        try:
            self._write(table, self._tables.at(table, head), [], "append", note)
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        self._tables.move_on(table)
        return head.version + 1

    def _stage(
        self, table: Table, view: str, query: str, partitions: Sequence[str] = ()
    ) -> None:
        folder = self._storage.staging(self._tables.location(table))
        self._staging.write(
            table, folder, view, query, readable=False, partitions=partitions
        )

    def _commit(
        self,
        table: Table,
        view: str,
        head: Head,
        note: Note,
        mode: str,
        partitions: Optional[List[str]] = None,
    ) -> int:
        if not self._staging.in_files(view):
            self._stage(table, f"{view}_files", f"select * from {view}")
            self._staging.discard(view)
            view = f"{view}_files"
        delta = self._tables.at(table, head)
        try:
            self._write(
                table, delta, self._staging.files(view), mode, note, None, partitions
            )
        except (DeltaError, OSError) as error:
            self._tables.forget(table)
            if self._tables.now(table).version() != head.version:
                raise ConflictError(table.name) from error
            raise StorageError(
                Path(self._tables.location(table)), delta_log.first_line(error)
            ) from error
        self._staging.release(view)
        self._tables.move_on(table)
        return head.version + 1

    def _repartition(
        self, table: Table, delta: DeltaTable, view: str, note: Note
    ) -> None:
        """Replace a table's rows, schema and partitioning in one commit. Only the
        writer of delta-rs can replace all three in one commit.
        """
        if OLD_WRITER:
            raise InvalidLakeError(
                f"{table.name} was not changed: deltalake {DELTALAKE} cannot change its"
                " partitioning",
                "Run once with deltalake 1.6 or newer, which needs Python 3.10, or with"
                " --engine spark.",
            )
        rows = self._staging.duckdb.sql(f"select * from {view}").to_arrow_table()
        try:
            write_deltalake(
                delta,
                rows.cast(delta_log.arrow_schema(table.columns)),
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=[table.partition] if table.partition else None,
                commit_properties=_properties(note, None),
            )
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        except (DeltaError, OSError) as error:
            raise StorageError(
                Path(self._tables.location(table)), delta_log.first_line(error)
            ) from error
        self._staging.discard(view)
        self._tables.forget(table)

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
        location = self._tables.location(table)
        self._storage.publish(location, [file.name for file in files])
        filters = (
            [(table.partition, "in", partitions)] if partitions is not None else None
        )
        by = [table.partition] if table.partition else []
        if mode == "overwrite":
            schema = delta_log.schema(delta_log.columns_to_keep(table, delta))
        else:
            schema = delta.schema()
        actions: List[Any] = [file.action() for file in files]
        delta.create_write_transaction(
            actions,
            mode,
            schema,
            by,
            filters,
            commit_properties=_properties(note, transaction),
        )


def _properties(note: Note, transaction: Optional[Transaction]) -> CommitProperties:
    transactions = None if transaction is None else [transaction]
    metadata = {"userMetadata": note.text()}
    return CommitProperties(
        custom_metadata=metadata, max_commit_retries=0, app_transactions=transactions
    )
