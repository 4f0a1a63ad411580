"""The engine of one machine: DuckDB computes, delta-rs commits.

A table is first staged as one Parquet file beside its Delta log, which no reader sees, and then made current by one
commit that replaces whatever the table held. A staged file that never gets its commit is deleted; one that a killed
process leaves is removed by Delta's VACUUM like any other file that no version names.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote, unquote

from lakekit import statements
from lakekit.errors import (
    ComputeError,
    ConflictError,
    LakeRefused,
    MissingExtra,
    SourceError,
    StorageError,
    ValueRefused,
)
from lakekit.lake import ANOTHER_LAKE
from lakekit.sources import OpenedSource
from lakekit.tables import Column, Table, Type

try:
    import duckdb
    import pyarrow  # noqa: F401  # deltalake needs it to read, and does not depend on it
    from deltalake import CommitProperties, DeltaTable, Schema
    from deltalake.exceptions import DeltaError, TableNotFoundError
    from deltalake.transaction import AddAction, create_table_with_add_actions
except ModuleNotFoundError as missing:
    raise MissingExtra(str(missing.name), "embedded") from missing

DELTA: Mapping[Type, str] = {"int": "integer", "bigint": "long"}  # all others go by the same name
MISREAD = "%?#"  # delta-rs takes the path for a URL, and would look in another folder


@dataclass(frozen=True)
class Head:
    """A table's newest version, and what the run that wrote it said of it; no digest when another writer made it."""

    version: int
    digest: str
    rows: int


@dataclass(frozen=True)
class Staged:
    """A Parquet file that no version of the table names yet. `based_on` is the version that it is to replace."""

    table: Table
    file: Path
    rows: int
    stats: str
    based_on: Optional[int]


class EmbeddedEngine:
    """One run's connection to one lake. The scratch folder takes what does not fit in memory."""

    def __init__(self, lake: Path, scratch: Path) -> None:
        self._lake = lake.absolute()
        for sign in MISREAD:
            if sign in str(self._lake):
                raise LakeRefused(
                    f"The lake {self._lake} has a {sign} in its path, which delta-rs misreads", ANOTHER_LAKE
                )
        # No extension is fetched: a run reaches no network.
        self._duckdb = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "temp_directory": str(scratch),
                "preserve_insertion_order": True,
            }
        )
        self._duckdb.execute("SET TimeZone = 'UTC'")
        self._pending: List[Staged] = []
        self._made: List[Path] = []

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Delete what was staged and never committed, and the folders made for it."""
        self._duckdb.close()
        for staged in self._pending:
            staged.file.unlink(missing_ok=True)
        for folder in sorted(self._made, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def head(self, table: Table) -> Optional[Head]:
        """The table's newest version, None when it has none. Raises StorageError when its log cannot be read."""
        delta = self._open(table)
        if delta is None:
            return None
        commit: Dict[str, Any] = delta.history(1)[0]
        return Head(
            delta.version(), str(commit.get("lakekit.digest", "")), int(commit.get("lakekit.rows", 0))
        )

    def attach(self, table: Table, head: Head) -> None:
        """Let queries read that version, which a run of ours wrote, by the table's name."""
        delta = DeltaTable(str(self._lake / table.folder), version=head.version)
        names = [Path(unquote(uri)).name for uri in delta.file_uris()]  # quoted as in a URL, local paths too
        self._view(table, [self._lake / table.folder / name for name in names])

    def stage_source(self, table: Table, opened: OpenedSource) -> Staged:
        """Stage a bronze table, then check that each value will convert. Raises SourceError or ValueRefused."""
        try:
            staged = self._stage(table, statements.read_source(opened))
        except duckdb.InvalidInputException as error:
            raise SourceError(f"{opened.given}{_csv_reason(error)}") from error
        opened.check_unchanged()
        self._check_values(staged, opened)
        return staged

    def stage_query(self, table: Table, query: str) -> Staged:
        """Stage a table from DuckDB SQL. Raises ComputeError, or DeclarationError for columns not as declared."""
        try:
            found = [(name, kind) for name, kind, *_ in self._query(f"DESCRIBE {query}")]
            return self._stage(table, statements.as_declared(table, query, found))
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.InternalError) as error:
            raise ComputeError(table.name, _first_line(error)) from error

    def commit(self, staged: Staged, digest: str) -> int:
        """Make a staged file the whole content of its table, in one Delta commit; its version.

        Raises ConflictError when the table moved on since it was staged, StorageError when the log cannot be written.
        """
        table, folder = staged.table, staged.file.parent
        stat = staged.file.stat()
        add = AddAction(staged.file.name, stat.st_size, {}, int(stat.st_mtime * 1000), True, staged.stats)
        metadata = {"lakekit.digest": digest, "lakekit.rows": str(staged.rows)}
        properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
        schema = Schema.from_json(_delta_schema(table.columns))
        try:
            delta = self._open(table)
            if (delta.version() if delta else None) != staged.based_on:
                raise ConflictError(table.name)
            if delta is None:
                create_table_with_add_actions(
                    str(folder), schema, [add], name=table.name, commit_properties=properties
                )
                _remove_stray(folder)
            else:
                delta.create_write_transaction([add], "overwrite", schema, [], commit_properties=properties)
        except (DeltaError, OSError) as error:
            head = self.head(table)
            if head is not None and head.version != staged.based_on:
                raise ConflictError(table.name) from error
            raise StorageError(folder, _first_line(error)) from error
        self._pending.remove(staged)
        return 0 if staged.based_on is None else staged.based_on + 1

    def discard(self, staged: Staged) -> None:
        """Give up a staged file that somebody else's commit made superfluous."""
        staged.file.unlink(missing_ok=True)
        self._pending.remove(staged)

    def rows(self, table: Table, limit: int) -> Optional[Tuple[int, List[Dict[str, Any]]]]:
        """The version and the first rows of the table's newest version, None when it has none."""
        delta = self._open(table)
        if delta is None:
            return None
        found: List[Dict[str, Any]] = delta.to_pyarrow_dataset().head(limit).to_pylist()
        return delta.version(), found

    def _open(self, table: Table) -> Optional[DeltaTable]:
        folder = self._lake / table.folder
        if not (folder / "_delta_log").is_dir():
            return None
        try:
            return DeltaTable(str(folder))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise StorageError(folder, _first_line(error)) from error

    def _query(self, sql: str) -> List[Tuple[Any, ...]]:
        """All rows of one statement. DuckDB turns a Ctrl-C while it computes into a RuntimeError; it is undone here."""
        try:
            return self._duckdb.execute(sql).fetchall()
        except RuntimeError as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from error
            raise

    def _stage(self, table: Table, query: str) -> Staged:
        head = self.head(table)
        folder = self._lake / table.folder
        self._made += [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"part-{uuid.uuid4()}.parquet"
        staged = Staged(table, file, 0, "", None if head is None else head.version)
        self._pending.append(staged)
        try:
            copied = f"COPY ({query}) TO {statements.text(str(file))} (FORMAT parquet, RETURN_STATS)"
            result = self._query(copied)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            # What the system said follows the file's name; DuckDB 2 wraps both in JSON.
            said = re.search(r'": ([A-Z][^"]+)', str(error))
            raise StorageError(folder, said.group(1) if said else _first_line(error)) from error
        rows, columns = (int(result[0][1]), dict(result[0][4])) if result else (0, {})
        whole = Staged(table, file, rows, _stats(table, rows, columns), staged.based_on)
        self._pending[-1] = whole
        self._view(table, [file])
        return whole

    def _view(self, table: Table, files: List[Path]) -> None:
        paths = ", ".join(statements.file(file) for file in files)
        self._query(f"CREATE SCHEMA IF NOT EXISTS {statements.name(table.layer)}")
        self._query(f"CREATE OR REPLACE VIEW {table.name} AS SELECT * FROM read_parquet([{paths}])")

    def _check_values(self, staged: Staged, opened: OpenedSource) -> None:
        """One pass over the staged strings; a second one, for the value, only where one does not convert."""
        columns = opened.source.columns
        misfits = (statements.misfit(column, opened.source) for column in columns)
        rows = ", ".join(f"min(_source_row) FILTER {misfit}" for misfit in misfits)
        first = self._query(f"SELECT {rows} FROM {staged.table.name}")[0]
        bad = [(row, column) for column, row in zip(columns, first) if row is not None]
        if not bad:
            return
        row, column = min(bad, key=lambda found: found[0])
        query = f"SELECT {statements.name(column.name)} FROM {staged.table.name} WHERE _source_row = {row}"
        value = self._query(query)[0][0]
        wanted = (
            "a value, and one is required"
            if value == opened.source.missing
            else statements.MEANING[column.type]
        )
        raise ValueRefused(str(opened.given), row, opened.line_of(row), column.name, value, wanted)


def _stats(table: Table, rows: int, columns: Mapping[str, Mapping[str, str]]) -> str:
    """Delta's statistics of a file from what DuckDB returns of it: counts and no bounds.

    delta-rs 1.2 and 1.6 lose rows when one column has bounds and another has none: `to_pyarrow_dataset` then filters
    the other by `>= null`. Delta gives a boolean no bounds, so only none at all is safe; Parquet's own are in the file.
    Raises ComputeError for a null in a required column: delta-rs does not look into a file that it did not write.
    """
    nulls = {
        column.name: int(columns[statements.name(column.name)]["null_count"]) if rows else 0
        for column in table.columns
    }
    for column in table.columns:
        if column.required and nulls[column.name]:
            raise ComputeError(
                table.name, f"column {column.name} is required and has {nulls[column.name]} nulls"
            )
    return json.dumps({"numRecords": rows, "nullCount": nulls})


def _delta_schema(columns: Tuple[Column, ...]) -> str:
    fields = [
        {"name": c.name, "type": DELTA.get(c.type, c.type), "nullable": not c.required, "metadata": {}}
        for c in columns
    ]
    return json.dumps({"type": "struct", "fields": fields})


def _remove_stray(folder: Path) -> None:
    """delta-rs before 1.6 also makes an empty folder of the path's URL-encoded name when it creates a table."""
    stray = Path(quote(str(folder)))
    while stray != folder and stray.is_dir() and not any(stray.iterdir()):
        stray.rmdir()
        stray = stray.parent


def _csv_reason(error: Exception) -> str:
    """Line and reason out of DuckDB's long message about a malformed CSV file."""
    text = str(error)
    line = re.search(r"Line: (\d+)", text)
    reason = re.search(
        r"(Expected Number of Columns: .*|Value with unterminated quote.*|Invalid unicode.*)", text
    )
    where = f", line {line.group(1)}" if line else ""
    return f"{where}: {reason.group(1).strip() if reason else _first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
