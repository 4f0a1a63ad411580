"""The DuckDB connection of the embedded engine.

The connection stores rows under names, defines views of data files, and writes data
files before their commit.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

from lakekit.declarations.tables import Table, Type
from lakekit.engines.duckdb import statements
from lakekit.errors import (
    DamagedTableError,
    LakekitError,
    MemoryLimitError,
    MissingExtraError,
    StorageError,
)

try:
    import duckdb
    from deltalake.transaction import AddAction
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing

PLAIN = re.compile(r"[A-Za-z0-9-]+")
"""Matches partition values that all writers use unchanged in folder names."""


@dataclass(frozen=True)
class DataFile:
    """A staged Parquet file: its path in the table, and its entry in the log."""

    name: str
    rows: int
    size: int
    partition: Mapping[str, str]
    nulls: Mapping[str, int]

    def action(self) -> AddAction:
        """Return the file's log entry, with counts but without min/max statistics.

        delta-rs 1.2 and 1.6 lose rows if only some columns have min/max statistics,
        because `to_pyarrow_dataset` then filters the columns without statistics by `>=
        null`. Boolean columns never have min/max statistics in Delta.
        """
        stats = json.dumps({"numRecords": self.rows, "nullCount": dict(self.nulls)})
        return AddAction(
            self.name,
            self.size,
            dict(self.partition),
            int(time.time() * 1000),
            True,
            stats,
        )


@dataclass(frozen=True)
class StagedFiles:
    """The data files that are staged under one name, and their folder."""

    folder: Path
    files: Tuple[DataFile, ...]

    def unlink(self) -> None:
        """Delete the files."""
        for file in self.files:
            (self.folder / file.name).unlink(missing_ok=True)


class Staging:
    """A DuckDB connection, and the data files that are not committed yet."""

    def __init__(self, scratch: Path, memory: str = "") -> None:
        settings: Dict[str, Union[str, bool, int, float, List[str]]] = {
            # A run uses no network except to access the lake.
            "autoinstall_known_extensions": False,
            "temp_directory": str(scratch),
            "preserve_insertion_order": True,
            **({"memory_limit": memory} if memory else {}),
        }
        self._scratch = scratch
        self.duckdb = duckdb.connect(config=settings)
        self.duckdb.execute("SET TimeZone = 'UTC'")
        # DuckDB's cache of Parquet metadata stays valid, because data files are
        # immutable.
        self.duckdb.execute("SET parquet_metadata_cache = true")
        self._staged: Dict[str, StagedFiles] = {}
        self._made: List[Path] = []
        self._kinds: Dict[str, str] = {}
        self._scanned: Dict[str, Sequence[Path]] = {}

    def close(self) -> None:
        """Delete staged files that are not committed, and the folders that were created
        for these files.
        """
        self.duckdb.close()
        for staged in self._staged.values():
            staged.unlink()
        for folder in sorted(self._made, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def execute(self, sql: str) -> List[Tuple[Any, ...]]:
        """Execute a statement and return all rows.

        Raises DamagedTableError if a data file cannot be read; MemoryLimitError if the
        query exceeds the memory limit; StorageError if the disk is full. If Ctrl-C ends
        the query, raises KeyboardInterrupt instead of DuckDB's RuntimeError.
        """
        try:
            return self.duckdb.execute(sql).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise self._no_room(str(error)) from error
        except duckdb.Error as error:
            # DuckDB has no error class for a damaged page, and raises several classes
            # for a damaged footer.
            if type(error) is duckdb.Error or "parquet" in str(error):
                self._check_scanned()
            raise
        except RuntimeError as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from error
            raise

    def _no_room(self, reason: str) -> LakekitError:
        """Return the error for a query that exceeded the memory limit, or whose
        temporary files exceeded the free space on the disk.
        """
        first = reason.strip().partition("\n")[0]
        if "temp" in reason.lower() and "space" in reason.lower():
            return StorageError(self._scratch, f"no space left: {first}")
        return MemoryLimitError(first.partition(": ")[2] or first)

    def _check_scanned(self) -> None:
        """Read all data files again, one by one. Raises DamagedTableError for the first
        file that cannot be read.
        """
        for table, files in self._scanned.items():
            for file in files:
                try:
                    self.duckdb.execute(
                        "SELECT sum(hash(t))"
                        f" FROM read_parquet({statements.file(file)}) t"
                    )
                except duckdb.Error as error:
                    reason = str(error).partition("\n")[0]
                    raise DamagedTableError(
                        table, str(file), f"cannot be read ({reason})", None
                    ) from error

    def name(self, view: str, kind: str, sql: str) -> int:
        """Create a VIEW or a TABLE from a query. Returns the number of rows of a TABLE.

        If the name belongs to an object of the other kind, that object is dropped
        first. DuckDB cannot replace a view by a table, or a table by a view.
        """
        if self._kinds.get(view, kind) != kind:
            self.execute(f"DROP {self._kinds.pop(view)} {view}")
        made = self.execute(f"CREATE OR REPLACE TEMP {kind} {view} AS {sql}")
        self._kinds[view] = kind
        return int(made[0][0]) if kind == "TABLE" else 0

    def over(
        self,
        table: Table,
        files: Sequence[Path],
        partition: Mapping[str, Type],
        own: bool = False,
    ) -> str:
        """Return a SELECT that reads the declared columns, in their declared types,
        from data files.

        If the names of the files' folders contain the values of a column, `partition`
        has the name and type of this column. If `own` is true, this engine has written
        the files, so every file has all columns.
        """
        scan = statements.data_files(files, partition)
        has = set()
        if not own:
            self._scanned[table.name] = [*self._scanned.get(table.name, ()), *files]
        if files and own:
            has = {column.name for column in table.columns}
        elif files:
            has = {row[0] for row in self.execute(f"DESCRIBE SELECT * FROM {scan}")}
        return statements.declared_columns(table, scan, has)

    def make(self, folder: Path) -> None:
        """Create a folder. `close` removes the folder if it is empty."""
        self._made += [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(parents=True, exist_ok=True)

    def write(
        self,
        table: Table,
        folder: Path,
        view: str,
        query: str,
        readable: bool = True,
        partitions: Sequence[str] = (),
    ) -> Tuple[DataFile, ...]:
        """Write a query's rows as data files of the table into a folder, and define
        `view` as a view of the files.

        First deletes all files that were staged earlier under this name, for another
        table or for an attempt that had a conflict. If `readable` is false, `view` is
        not defined, so the files cannot be queried before their commit. If all
        partitions of the rows are known, `partitions` lists them. Raises StorageError
        if the files cannot be written.
        """
        self.discard(view)
        self.make(folder)
        only = partitions[0] if len(partitions) == 1 else ""
        # Writing a single partition as a plain file takes half the time of a
        # partitioned write.
        if PLAIN.fullmatch(only):
            files = self._write_partition(table, folder, query, only)
        else:
            files = self._write_any(table, folder, query)
        self._staged[view] = StagedFiles(folder, files)
        if readable:
            partition = (
                {table.partition: table[table.partition].type}
                if table.partition
                else {}
            )
            paths = [folder / file.name for file in files]
            self.name(view, "VIEW", self.over(table, paths, partition, own=True))
        return files

    def _write_any(
        self, table: Table, folder: Path, query: str
    ) -> Tuple[DataFile, ...]:
        """Write rows of any number of partitions."""
        name = _new_name()
        target, options = folder / f"{name}.parquet", ""
        if table.partition:
            by = f"PARTITION_BY ({statements.name(table.partition)})"
            by += f", FILENAME_PATTERN '{name}-{{i}}'"
            target, options = folder, f", {by}, OVERWRITE_OR_IGNORE"
        written = self._copy(query, folder, name, target, options)
        return tuple(_data_file(table, folder, row, {}) for row in written)

    def _write_partition(
        self, table: Table, folder: Path, query: str, only: str
    ) -> Tuple[DataFile, ...]:
        """Write rows of a single partition. Writes no file if there are no rows."""
        name, inside = _new_name(), folder / f"{table.partition}={only}"
        self.make(inside)
        target = inside / f"{name}.parquet"
        query = f"SELECT * EXCLUDE ({statements.name(table.partition)}) FROM ({query})"
        (written,) = self._copy(query, folder, name, target)
        file = _data_file(table, folder, written, {table.partition: only})
        if file.rows:
            return (file,)
        target.unlink()
        return ()

    def _copy(
        self, query: str, folder: Path, name: str, target: Path, options: str = ""
    ) -> List[Tuple[Any, ...]]:
        """Write a query's rows into files below the folder; return DuckDB's result row
        for each file.

        File names start with `name`. Writes no file if the query has no rows. Raises
        StorageError.
        """
        try:
            return self.execute(
                f"COPY ({query}) TO {statements.text(str(target))}"
                f" (FORMAT parquet, RETURN_STATS{options})"
            )
        except BaseException as error:
            for half in folder.rglob(f"{name}*.parquet"):
                half.unlink()
            if isinstance(error, duckdb.IOException):
                raise StorageError(
                    folder, statements.storage_reason(str(error))
                ) from error
            raise

    def hold(self, table: Table, view: str, query: str) -> int:
        """Store a query's rows with declared names and types, in memory or in the
        scratch folder; return the number of rows.

        Writes no data files. Raises DeclarationError if names or types differ from the
        declaration.
        """
        self.discard(view)
        rows = self.name(view, "TABLE", query)
        found = [(name, kind) for name, kind, *_ in self.execute(f"DESCRIBE {view}")]
        cast = statements.as_declared(table, f"FROM {view}", found)
        if [kind for _, kind in found] != [
            statements.TYPES[column.type] for column in table.columns
        ]:
            self.name(view, "TABLE", cast)
        return rows

    def in_files(self, view: str) -> bool:
        """Return whether the rows staged under this name are in data files."""
        return view in self._staged

    def files(self, view: str) -> Tuple[DataFile, ...]:
        """Return the data files staged under this name."""
        return self._staged[view].files

    def release(self, view: str) -> None:
        """Forget the files that are staged under this name. The files are not deleted,
        because they are now part of the table.
        """
        self._staged.pop(view)

    def discard(self, view: str) -> None:
        """Delete the data files staged under this name, if any."""
        if view in self._staged:
            self._staged.pop(view).unlink()


def _new_name() -> str:
    """Return a unique prefix for the names of the files that one write creates."""
    return f"part-{uuid.uuid4()}"


def _data_file(
    table: Table, folder: Path, row: Sequence[Any], partition: Mapping[str, str]
) -> DataFile:
    """Return the data file that a result row of DuckDB's COPY describes. The row has
    the file's name, number of rows, size, footer size, statistics by column, and
    partition keys.
    """
    path, rows, size, _, statistics, keys = row[:6]
    nulls = {
        column.name: int(statistics[statements.name(column.name)]["null_count"])
        for column in table.columns
        if rows and statements.name(column.name) in statistics
    }
    name = os.path.relpath(path, folder)
    return DataFile(
        name,
        int(rows),
        int(size),
        {k: str(v) for k, v in (keys or partition).items()},
        nulls,
    )
