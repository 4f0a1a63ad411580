"""The run: sources through bronze, silver and gold, each table at most one Delta commit.

Each commit carries a digest of all that its table is made from: the content of the source file or the digests of the
tables read, the declaration and the SQL. A table whose newest commit carries the wanted digest is left as it is, so
the same source twice changes nothing, and a run that died is resumed by the next. All tables that are to change are
staged before the first is committed, so that whatever the data can do wrong is found while nothing is written.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, Mapping, Optional, Tuple, Union

from lakekit.errors import ConflictError, DeclarationError, StorageError
from lakekit.flights import TABLES
from lakekit.lake import check_lake
from lakekit.sources import OpenedSource, open_sources
from lakekit.tables import Table, TableSet

if TYPE_CHECKING:
    from lakekit.embedded import EmbeddedEngine, Head, Staged

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the steps done and the steps in all."""


@dataclass(frozen=True)
class TableResult:
    """One table after a run. `seconds` is what this run spent on it: none when it was up to date already."""

    table: str
    rows: int
    version: int
    seconds: float
    changed: bool


@dataclass(frozen=True)
class RunResult:
    """Every declared table, in the order they are made."""

    source: Path
    lake: Path
    tables: Tuple[TableResult, ...]
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the run wrote any table."""
        return any(table.changed for table in self.tables)


def run(
    source: Union[str, os.PathLike[str]],
    lake: Union[str, os.PathLike[str]],
    *,
    tables: TableSet = TABLES,
    progress: Optional[Progress] = None,
) -> RunResult:
    """Bring the lake's tables up to date with the source files.

    Raises a LakekitError: SourceError or LakeRefused before anything is written, ConflictError or StorageError with
    every table whole at its old or its new version, MissingExtra without the extra `embedded`.
    """
    from lakekit.embedded import (  # the extra's packages are needed from here on, and not before
        EmbeddedEngine,
    )

    started = time.perf_counter()
    source, lake = Path(source), Path(lake)
    try:
        check_lake(lake, tables)
        with tempfile.TemporaryDirectory(prefix="lakekit-") as folder:
            scratch = Path(folder)
            opened = {f"bronze.{found.source.name}": found for found in open_sources(source, tables, scratch)}
            with EmbeddedEngine(lake, scratch) as engine:
                results = _Run(tables, opened, engine, progress or (lambda *_: None)).results()
    except OSError as error:
        raise StorageError(Path(error.filename or lake), error.strerror or str(error)) from error
    return RunResult(source, lake, results, time.perf_counter() - started)


def digests(tables: TableSet, opened: Mapping[str, OpenedSource]) -> Dict[str, str]:
    """The digest that each table's newest commit is to carry: known before any table is computed."""
    wanted: Dict[str, str] = {}
    for table in tables:
        content = opened[table.name].digest if table.source else tables.query(table)
        parts = ("lakekit 1", table.canonical(), content, *(wanted[read] for read in table.reads))
        wanted[table.name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return wanted


class _Run:
    """One run's state: what each table should be, what it is, and what is staged to replace it."""

    def __init__(
        self, tables: TableSet, opened: Mapping[str, OpenedSource], engine: EmbeddedEngine, progress: Progress
    ) -> None:
        self._tables, self._opened, self._engine, self._progress = tables, opened, engine, progress
        self._wanted = digests(tables, opened)
        self._heads: Dict[str, Head] = {}
        self._staged: Dict[str, Staged] = {}
        self._seconds: Dict[str, float] = {}

    def results(self) -> Tuple[TableResult, ...]:
        """Stage what is out of date, then commit it table by table."""
        for table in self._tables:
            head = self._engine.head(table)
            if head is not None and head.digest == self._wanted[table.name]:
                self._heads[table.name] = head
        stale = [table for table in self._tables if table.name not in self._heads]
        queries = {table.name: self._translate(table) for table in stale if table.sql}
        reads = {read for table in stale for read in table.reads}
        for name in reads.intersection(self._heads):
            self._engine.attach(self._tables[name], self._heads[name])
        for done, table in enumerate(stale):
            self._progress(table.name, done, len(stale) + 1)
            begun = time.perf_counter()
            if table.sql:
                self._staged[table.name] = self._engine.stage_query(table, queries[table.name])
            else:
                self._staged[table.name] = self._engine.stage_source(table, self._opened[table.name])
            self._seconds[table.name] = time.perf_counter() - begun
        self._progress("commit", len(stale), len(stale) + 1)
        settled = tuple(self._settle(table) for table in self._tables)
        self._progress("", len(stale) + 1, len(stale) + 1)
        return settled

    def _translate(self, table: Table) -> str:
        from lakekit.transpile import (  # sqlglot takes a while to import, and an unchanged lake needs none
            to_duckdb,
        )

        query, reads = to_duckdb(table.name, self._tables.query(table))
        if reads != set(table.reads):
            raise DeclarationError(
                table.name,
                f"the SQL reads {', '.join(sorted(reads))}; declared: {', '.join(sorted(table.reads))}",
            )
        return query

    def _settle(self, table: Table) -> TableResult:
        """Commit a staged table. Where another run has just committed the very same, there is nothing left to do."""
        name = table.name
        if name not in self._staged:
            head = self._heads[name]
            return TableResult(name, head.rows, head.version, 0.0, changed=False)
        staged, begun = self._staged[name], time.perf_counter()
        try:
            version = self._engine.commit(staged, self._wanted[name])
        except ConflictError:
            now = self._engine.head(table)
            if now is None or now.digest != self._wanted[name]:
                raise
            self._engine.discard(staged)
            return TableResult(name, now.rows, now.version, self._seconds[name], changed=False)
        seconds = self._seconds[name] + time.perf_counter() - begun
        return TableResult(name, staged.rows, version, seconds, changed=True)
