"""Ingests new source files into bronze, then updates the silver and gold tables.

All sources are opened and checked before the first commit. The note (metadata) of each
commit to a table records which versions of the input tables the table includes. So the
next run can resume an interrupted run, and a run that finds no new files commits
nothing.
"""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    ContextManager,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from lakekit.commands.damage import undamaged_head
from lakekit.commands.progress import Clock, Progress, Steps
from lakekit.commands.refusals import Policy, Refusals
from lakekit.declarations.sql_checks import check_sql
from lakekit.declarations.tables import Column, Source, Table, TableSet
from lakekit.engines.engine import Engine, FileInspection, Note
from lakekit.engines.open import check_memory, open_engine
from lakekit.engines.retries import retried
from lakekit.errors import (
    ConflictError,
    ConversionError,
    SettingsError,
    SourceError,
    StorageError,
)
from lakekit.nyc_flights.tables import TABLES
from lakekit.sources.archives import DEFAULT_LIMIT
from lakekit.sources.files import OpenedFile, open_sources
from lakekit.storage.lake import check_lake, find_lake
from lakekit.transforms import evolution
from lakekit.transforms.dry_run import dry_run
from lakekit.transforms.lineage import Lineage
from lakekit.transforms.merge import Counts, UpdateOutcome
from lakekit.transforms.updates import Updates

MICROSECOND = datetime.timedelta(microseconds=1)


@dataclass(frozen=True)
class TableResult:
    """The result of a run for one table.

    Attributes:
        mode: how the run updated the table: `unchanged`, `appended` (bronze), `merged`,
            `groups` or `whole`; `noted` if the changes of the input tables affect no
            row of this table.
        seconds: time that this run spent on the table. For a bronze table, `seconds` is
            the time to check, read and write its files. The time of a merged table
            includes the time of its quarantine table.
        changed: whether the run committed to this table.
        counts: numbers of rows; see `lakekit.transforms.merge.Counts`.
        groups_total: total number of groups, if the table is updated by groups.
        new_columns: columns of the source that are not declared. Bronze stores them,
            too.
        why: the reason for a rebuild of the whole table; empty if the table was not
            rebuilt.
        refused: for a bronze table, the reasons why files of its source were refused.
            Each reason names the refused file.
    """

    table: str
    mode: str
    rows: int
    version: int
    seconds: float
    changed: bool
    counts: Counts = Counts()
    groups_total: int = 0
    new_columns: Tuple[str, ...] = ()
    why: str = ""
    refused: Tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """The results of all declared tables, in the order in which the tables were
    updated.
    """

    source: Path
    lake: str
    engine: str
    tables: Tuple[TableResult, ...]
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the run committed to any table."""
        return any(table.changed for table in self.tables)

    def __getitem__(self, name: str) -> TableResult:
        """Return the result of the table `name`. Raises KeyError if no table of this
        name was updated.
        """
        return {table.table: table for table in self.tables}[name]


def run(
    source: Union[str, os.PathLike[str]],
    lake: Union[str, os.PathLike[str]],
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
    allow_rebuild: bool = False,
    progress: Optional[Progress] = None,
    now: Optional[datetime.datetime] = None,
    memory: str = "",
    scratch: Optional[Path] = None,
    refused: Policy = "stop",
    unpacked: str = DEFAULT_LIMIT,
    clock: Clock = time.perf_counter,
) -> RunResult:
    """Bring the lake's tables up to date with the source files.

    `now` is the time of the run in UTC, and becomes the ingestion time of new files.
    `memory` is DuckDB's memory limit, such as `2GB`. `unpacked` limits the total size
    of all unpacked archives, and the size of each decoded Parquet file. `refused` is
    the effect of a faulty file (`lakekit.commands.refusals`). `clock` returns seconds.

    Raises DeclarationError, SettingsError, SourceError, InvalidLakeError or
    DamagedTableError before anything is written, and MissingExtraError if the engine's
    extra is not installed. If refused files stop some tables, the run first updates all
    other tables, and then raises RefusedFilesError. When ConflictError, StorageError or
    another LakekitError is raised, each table is complete at its old or its new
    version.
    """
    started = clock()
    source, place = Path(os.path.expanduser(source)), find_lake(lake)
    at = now or datetime.datetime.now(datetime.timezone.utc)
    check_memory(memory)
    if scratch is not None and not scratch.is_dir():
        raise SettingsError(
            f"The scratch folder {scratch} does not exist",
            "Create it, or use another folder with --scratch.",
        )
    check_sql(tables)
    try:
        check_lake(place, tables)
        with tempfile.TemporaryDirectory(prefix="lakekit-", dir=scratch) as folder:
            refusals = Refusals(tables, refused)
            steps = Steps(progress or (lambda *_: None), clock)
            opened = _open_all(source, tables, Path(folder), unpacked, refusals, steps)
            with open_engine(
                engine, place, tables, Path(folder), memory=memory
            ) as opened_engine:
                run = _Run(
                    opened_engine,
                    tables,
                    opened,
                    at,
                    allow_rebuild,
                    steps,
                    refusals,
                )
                results = run.results()
                refusals.raise_if_stopped()
    except OSError as error:
        raise StorageError(
            Path(error.filename or str(place)), error.strerror or str(error)
        ) from error
    return RunResult(source, str(place), engine, results, clock() - started)


def _open_all(
    source: Path,
    tables: TableSet,
    scratch: Path,
    unpacked: str,
    refusals: Refusals,
    steps: Steps,
) -> Mapping[str, List[OpenedFile]]:
    """Open the source files with `open_sources`, and report each file as a step."""

    def opening(table: str, name: str, files: int) -> ContextManager[None]:
        # A new file has two more steps: it is read, and it is written. The total is
        # corrected when it is known which files are new.
        steps.total = 3 * files + len(_derived(tables))
        return steps.step(table, f"open {name}")

    return open_sources(source, tables, scratch, unpacked, refusals.add, opening)


def _derived(tables: TableSet) -> Tuple[Table, ...]:
    """Return the tables that are computed from other tables."""
    return tables.layer("silver") + tables.layer("gold")


class _Run:
    """The state of one run."""

    def __init__(
        self,
        engine: Engine,
        tables: TableSet,
        opened: Mapping[str, List[OpenedFile]],
        at: datetime.datetime,
        allow_rebuild: bool,
        steps: Steps,
        refusals: Refusals,
    ) -> None:
        self._engine, self._tables, self._opened, self._at = engine, tables, opened, at
        self._allow_rebuild, self._steps = allow_rebuild, steps
        self._refusals = refusals
        self._lineage = Lineage(engine, tables)
        self._updates = Updates(self._lineage)
        self._times: Dict[str, datetime.datetime] = {}
        self._rebuilt: FrozenSet[str] = frozenset()

    def results(self) -> Tuple[TableResult, ...]:
        """Check all sources, then commit the files to bronze one by one, then update
        the other tables one by one. Return the results of all tables that no refused
        file stops.
        """
        dry_run(self._engine, self._tables)
        self._read_heads()
        new = {}
        for table in self._tables.layer("bronze"):
            with self._steps.measured(table.name):
                new[table.name] = self._new_files(table)
        derived = _derived(self._tables)
        files = sum(map(len, new.values()))
        self._steps.total = self._steps.done + 2 * files + len(derived)
        inspected = self._inspect_all(new)
        bronze = self._active(self._tables.layer("bronze"))
        self._rebuilt = retried(self._evolve)
        results: Dict[str, TableResult] = {}
        for table in bronze:
            results[table.name] = self._ingest(table, new[table.name], inspected)
        for table in self._active(derived):
            results.update(self._update_with_quarantine(table))
        if self._rebuilt:
            self._lineage.refresh(*(table.name for table in self._tables))
            # Apply schema changes that require the rebuilt rows, such as a new
            # constraint.
            retried(self._evolve)
        self._steps.finish()
        return tuple(results[table.name] for table in self._active(self._tables))

    def _active(self, tables: Iterable[Table]) -> List[Table]:
        """Return the tables that no refused file stops."""
        return [table for table in tables if table.name not in self._refusals.stopped]

    def _read_heads(self) -> None:
        """Read the state of every table that exists. Raises DamagedTableError if a
        table is damaged.
        """
        for table in self._tables:
            with self._steps.measured(table.name):
                head = undamaged_head(self._engine, table)
            if head is not None:
                self._lineage.heads[table.name] = head

    def _evolve(self) -> FrozenSet[str]:
        """Create missing tables, and alter existing tables to match their declarations.
        Return the names of the tables to rebuild.
        """
        heads = self._lineage.heads
        changes = [
            c
            for t in self._active(self._tables)
            for c in evolution.plan_changes(t, heads.get(t.name))
        ]
        try:
            return evolution.apply(
                self._engine, self._tables, changes, self._allow_rebuild
            )
        finally:
            self._lineage.refresh(*{change.table for change in changes})

    def _new_files(self, table: Table) -> List[OpenedFile]:
        """Return the new files of a source: the files whose content is not in bronze
        yet. If several files have the same content, only the first of them is new. If a
        source has no files and the table of the source does not exist yet, refuse the
        source.
        """
        files, exists = (
            self._opened[_source(table).name],
            table.name in self._lineage.heads,
        )
        if not files and not exists:
            self._refuse_missing(_source(table).name)
            return []
        seen = (
            set(self._engine.ingested(table, [file.digest for file in files]))
            if exists
            else set()
        )
        new = []
        for file in files:
            if file.digest not in seen:
                seen.add(file.digest)
                new.append(file)
        return new

    def _refuse_missing(self, name: str) -> None:
        """Stop the table of a source if the source has no files, or if all of its files
        are refused.
        """
        if self._refusals.of(name):
            self._refusals.stop(name)
            return
        missing = SourceError(
            f"There is no file of {name}: no {name}.csv, {name}.csv.zip,"
            f" {name}.csv.gz or {name}.parquet, and no folder {name} with such files",
            "Put the file into the source folder, then run again.",
        )
        self._refusals.add(name, missing, stop=True)

    def _inspect_all(
        self, new: Dict[str, List[OpenedFile]]
    ) -> Mapping[Tuple[str, str], FileInspection]:
        """Inspect the new files of every bronze table, and remove refused files from
        `new`. Return the inspections by table name and file digest.
        """
        inspected = {}
        for table in self._active(map(self._tables.__getitem__, new)):
            if new[table.name]:
                self._times[table.name] = self._ingestion_time(table)
            for file in list(new[table.name]):
                try:
                    inspected[table.name, file.digest] = self._inspect(table, file)
                except SourceError as error:
                    self._refusals.add(file.source.name, error)
                    new[table.name].remove(file)
            if not new[table.name] and table.name not in self._lineage.heads:
                self._refuse_missing(_source(table).name)
        return inspected

    def _ingestion_time(self, table: Table) -> datetime.datetime:
        """Return the ingestion time of a bronze table's new files. The ingestion time
        is the time of this run or, if this is later, a microsecond after the ingestion
        time of the table's newest row.

        So the ingestion times follow the order of the commits, even if the clock was
        set back between two commits.
        """
        head = self._lineage.heads.get(table.name)
        if head is None:
            return self._at
        if head.note is not None and head.note.at and not head.foreign:
            newest = datetime.datetime.fromisoformat(head.note.at)
        elif self._engine.rows(table):
            self._engine.read(table, "_times")
            newest = self._engine.query("select max(_ingested_at) from _times")[0][0]
        else:
            return self._at
        return max(self._at, newest + MICROSECOND)

    def _inspect(self, table: Table, file: OpenedFile) -> FileInspection:
        """Read a whole file and check its values. Raises SourceError if the file is
        malformed; ConversionError if too many values of a column do not convert.
        """
        with self._steps.step(table.name, f"read {file.name}"):
            found = self._engine.inspect(table, file, self._times[table.name])
        file.check_rows(found.rows)
        for name, misfits in found.misfits.items():
            if misfits > file.source.misfits * found.rows:
                kind = _declared(file.source, name).type
                raise ConversionError(
                    str(file.given),
                    name,
                    misfits,
                    found.rows,
                    file.source.misfits,
                    kind,
                )
        return found

    def _ingest(
        self,
        table: Table,
        files: Sequence[OpenedFile],
        inspected: Mapping[Tuple[str, str], FileInspection],
    ) -> TableResult:
        rows, changed = 0, False
        for file in files:
            with self._steps.step(table.name, f"write {file.name}"):
                found = inspected[table.name, file.digest]
                if self._append(table, file, found):
                    changed, rows = True, rows + found.rows
        return TableResult(
            table.name,
            "appended" if changed else "unchanged",
            self._engine.rows(table),
            self._lineage.heads[table.name].version,
            self._steps.seconds(table.name),
            changed,
            Counts(read=rows, inserted=rows),
            new_columns=_new_columns(files),
            refused=self._refusals.of(_source(table).name),
        )

    def _append(self, table: Table, file: OpenedFile, found: FileInspection) -> bool:
        """Append an inspected file. Return False if the file was already ingested."""
        known = {column.name for column in self._lineage.heads[table.name].columns}
        more = [name.lower() for name in file.new_columns]
        missing = [Column(name) for name in more if name not in known]
        if missing:
            self._engine.add_columns(table, missing)
            self._lineage.refresh(table.name)
        note = Note(
            self._lineage.digest(table),
            misfits=sum(found.misfits.values()),
            at=self._times[table.name].isoformat(),
        )
        version = self._engine.append(table, file, note)
        self._move_on(table, version, note)
        return version is not None

    def _move_on(self, table: Table, version: Optional[int], note: Note) -> None:
        """Update the table's head after a commit of this run."""
        heads = self._lineage.heads
        if version == heads[table.name].version + 1:
            heads[table.name] = heads[table.name].after(version, note)
        else:  # another writer also committed
            self._lineage.refresh(table.name)

    def _update_with_quarantine(self, table: Table) -> Dict[str, TableResult]:
        """Update a table and its quarantine table."""
        before = dict(self._lineage.heads)
        result = self._update(table)
        if not table.quarantine:
            return {table.name: result}
        quarantine = self._tables[table.quarantine]
        version = before[quarantine.name].version
        return {
            table.name: result,
            quarantine.name: self._quarantine(quarantine, result, version),
        }

    def _update(self, table: Table) -> TableResult:
        """Update one table. If another writer commits first, retry with the newest
        versions of the tables.
        """
        before = self._lineage.heads[table.name].version
        touched = (table.name, *((table.quarantine,) if table.quarantine else ()))

        def update() -> UpdateOutcome:
            try:
                return self._updates.update(table, rebuild=table.name in self._rebuilt)
            except ConflictError:
                self._lineage.refresh(*touched, *table.reads)
                raise

        with self._steps.step(table.name, "update"):
            done = retried(update)
        head, rows = self._lineage.heads[table.name], self._engine.rows(table)
        return TableResult(
            table.name,
            done.mode,
            rows,
            head.version,
            self._steps.seconds(table.name),
            head.version != before and done.mode != "unchanged",
            done.counts,
            groups_total=rows if table.update == "groups" else 0,
            why=done.why,
        )

    def _quarantine(self, table: Table, by: TableResult, before: int) -> TableResult:
        head = self._lineage.heads[table.name]
        counts = replace(Counts(), inserted=by.counts.quarantined)
        changed = by.changed and head.version != before
        rows = self._engine.rows(table)
        return TableResult(
            table.name,
            by.mode if changed else "unchanged",
            rows,
            head.version,
            0.0,
            changed,
            counts,
        )


def _new_columns(files: Sequence[OpenedFile]) -> Tuple[str, ...]:
    """Return the undeclared columns of a source's files, in lower case and without
    duplicates.
    """
    return tuple(dict.fromkeys(c.lower() for file in files for c in file.new_columns))


def _source(table: Table) -> Source:
    """Return the source of a bronze table."""
    assert table.source is not None, table.name
    return table.source


def _declared(source: Source, name: str) -> Column:
    return next(column for column in source.columns if column.name == name)
