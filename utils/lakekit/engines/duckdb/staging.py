"""DuckDB as the embedded engine uses it: rows by name, views over data files, and data
files written for a table that is not to have them before its commit.
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
from lakekit.errors import DamagedTableError, MissingExtraError, StorageError

try:
    import duckdb
    from deltalake.transaction import AddAction
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing

PLAIN = re.compile(r"[A-Za-z0-9-]+")
"""Partition values that stand in the name of a folder as they are, whoever writes
it.
"""


@dataclass(frozen=True)
class DataFile:
    """A staged Parquet file: its path under the table, and what the log will say of
    it.
    """

    name: str
    rows: int
    size: int
    partition: Mapping[str, str]
    nulls: Mapping[str, int]

    def action(self) -> AddAction:
        """The log's entry. Counts and no bounds: delta-rs 1.2 and 1.6 lose rows when
        one column has bounds and another has none (`to_pyarrow_dataset` filters the
        other by `>= null`), and Delta gives a boolean none.
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
    """The data files of a staged name, in the folder that they were written into."""

    folder: Path
    files: Tuple[DataFile, ...]

    def unlink(self) -> None:
        """Delete them."""
        for file in self.files:
            (self.folder / file.name).unlink(missing_ok=True)


class Staging:
    """One DuckDB, and the data files that it wrote and no commit has named yet."""

    def __init__(self, scratch: Path, memory: str = "") -> None:
        settings: Dict[str, Union[str, bool, int, float, List[str]]] = {
            # A run reaches no network but the lake's.
            "autoinstall_known_extensions": False,
            "temp_directory": str(scratch),
            "preserve_insertion_order": True,
            **({"memory_limit": memory} if memory else {}),
        }
        self.duckdb = duckdb.connect(config=settings)
        self.duckdb.execute("SET TimeZone = 'UTC'")
        # Data files never change.
        self.duckdb.execute("SET parquet_metadata_cache = true")
        self._staged: Dict[str, StagedFiles] = {}
        self._made: List[Path] = []
        self._kinds: Dict[str, str] = {}
        self._scanned: Dict[str, Sequence[Path]] = {}

    def close(self) -> None:
        """Delete what was staged and never committed, and the folders made for it."""
        self.duckdb.close()
        for staged in self._staged.values():
            staged.unlink()
        for folder in sorted(self._made, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def execute(self, sql: str) -> List[Tuple[Any, ...]]:
        """All rows of one statement. Raises DamagedTableError where a data file cannot
        be read. DuckDB turns a Ctrl-C while it computes into a RuntimeError; it is
        undone here.
        """
        try:
            return self.duckdb.execute(sql).fetchall()
        except duckdb.Error as error:
            # A damaged page has no error class of its own, and a damaged footer that of
            # many.
            if type(error) is duckdb.Error or "parquet" in str(error):
                self._check_scanned()
            raise
        except RuntimeError as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from error
            raise

    def _check_scanned(self) -> None:
        """Read all data files again, one by one. Raises DamagedTableError for the first
        that cannot be read."""
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
        """Give SQL's rows a name, as a VIEW or a TABLE; DuckDB replaces neither by the
        other. A table's rows are counted.
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
        """SELECT the declared columns in declared types from data files, which lie in
        folders by `partition`, a column and its type. Files of our `own` writing are
        known to have them all.
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
        """Make a folder, to be removed again where nothing comes into it."""
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
        """Write a query's rows as data files of the table into a folder, and let `view`
        read them. What was staged by that name before, for another table or in a try
        that met another writer, is deleted. Without `readable` nothing can read them
        before their commit; `partitions` are all that the rows are in, where that is
        known. Raises StorageError.
        """
        self.discard(view)
        self.make(folder)
        only = partitions[0] if len(partitions) == 1 else ""
        if PLAIN.fullmatch(only):  # of one partition a plain file takes half the time
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
        """Write rows of any partitions."""
        name = _new_name()
        target, options = folder / f"{name}.parquet", ""
        if table.partition:
            by = f"PARTITION_BY ({table.partition}), FILENAME_PATTERN '{name}-{{i}}'"
            target, options = folder, f", {by}, OVERWRITE_OR_IGNORE"
        written = self._copy(query, folder, name, target, options)
        return tuple(_data_file(table, folder, row, {}) for row in written)

    def _write_partition(
        self, table: Table, folder: Path, query: str, only: str
    ) -> Tuple[DataFile, ...]:
        """Write rows that are all of one partition; no file where it is empty now."""
        name, inside = _new_name(), folder / f"{table.partition}={only}"
        self.make(inside)
        target = inside / f"{name}.parquet"
        query = f"SELECT * EXCLUDE ({table.partition}) FROM ({query})"
        (written,) = self._copy(query, folder, name, target)
        file = _data_file(table, folder, written, {table.partition: only})
        if file.rows:
            return (file,)
        target.unlink()
        return ()

    def _copy(
        self, query: str, folder: Path, name: str, target: Path, options: str = ""
    ) -> List[Tuple[Any, ...]]:
        """Write a query's rows into files below the folder whose names start with
        `name`, or into none; what DuckDB says of each. Raises StorageError.
        """
        try:
            return self.execute(
                f"COPY ({query}) TO {statements.text(str(target))}"
                f" (FORMAT parquet, RETURN_STATS{options})"
            )
        except BaseException as error:
            for half in folder.rglob(f"{name}*.parquet"):
                half.unlink()
            if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException)):
                raise StorageError(
                    folder, statements.storage_reason(str(error))
                ) from error
            raise

    def hold(self, table: Table, view: str, query: str) -> int:
        """Keep a query's rows as declared under a name, in memory or in the scratch
        folder, and in no data file; their number. Raises DeclarationError where names
        or types differ.
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
        """Whether what is staged by that name is in data files."""
        return view in self._staged

    def files(self, view: str) -> Tuple[DataFile, ...]:
        """The data files staged by that name."""
        return self._staged[view].files

    def release(self, view: str) -> None:
        """Forget staged files without deleting them: they are part of their table."""
        self._staged.pop(view)

    def discard(self, view: str) -> None:
        """Delete the data files that are staged by that name, if it has any."""
        if view in self._staged:
            self._staged.pop(view).unlink()


def _new_name() -> str:
    """What the names of the files of one writing start with."""
    return f"part-{uuid.uuid4()}"


def _data_file(
    table: Table, folder: Path, row: Sequence[Any], partition: Mapping[str, str]
) -> DataFile:
    """What DuckDB's COPY returns of a file: name, rows, bytes, footer bytes, statistics
    by column, partition keys.
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
