"""Restores an older version of a table, even if the newest version cannot be read."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple, Union

from lakekit.declarations.tables import Table, TableSet
from lakekit.engines.engine import Engine
from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import Lake, check_lake, find_lake
from lakekit.storage.versions import UnrestorableVersionError, Version

NAMED = 3
"""A message lists at most this many damaged files, and at most this many undamaged
versions.
"""


@dataclass(frozen=True)
class RestoreResult:
    """The versions of a table, and the result of restoring one of these versions.

    Attributes:
        newest: the newest version before the restore.
        restored: the version that was restored; None if no version was requested.
        committed: the number of the new version; None in a dry run, or if the requested
            version is already the newest.
        added: number of data files that the restore adds to the table.
        removed: number of data files that the restore removes from the table.
        derived: the tables that the next run recomputes from their input tables.
        versions: all versions in the log before the restore, newest first.
    """

    table: str
    lake: str
    newest: int
    restored: Optional[int]
    committed: Optional[int]
    dry_run: bool
    added: int
    removed: int
    derived: Tuple[str, ...]
    versions: Tuple[Version, ...]


def restore(
    table: str,
    lake: Union[str, os.PathLike[str]],
    version: Optional[int] = None,
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
    dry_run: bool = False,
) -> RestoreResult:
    """Restore an older version of a table with one commit. Without a version, only list
    the versions.

    The next `run` brings all tables up to date with their sources and declarations. The
    next run recomputes each table that reads the restored table, and a restored silver
    or gold table itself. If the restore of a bronze table removes rows of files that
    are still in the source folder, the next `run` ingests these files again.

    Raises UnknownTableError if the table is not declared; InvalidLakeError if the table
    does not exist. Raises UnrestorableVersionError if the version is missing or
    damaged; DamagedLogError if the log is damaged. Raises ConflictError if another
    writer commits first.
    """
    declared, place = tables[table], find_lake(lake)
    check_lake(place, tables)
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(engine, place, tables, Path(scratch)) as opened:
            found = opened.versions(declared)
            if not found:
                raise InvalidLakeError(
                    f"{lake} holds no table {table}",
                    f"lakekit run --source DIR --lake {lake}",
                )
            return _restore(opened, tables, declared, place, found, version, dry_run)


def _restore(
    engine: Engine,
    tables: TableSet,
    table: Table,
    lake: Lake,
    found: Tuple[Version, ...],
    version: Optional[int],
    dry_run: bool,
) -> RestoreResult:
    newest, committed, added, removed = found[0].number, None, 0, 0
    if version is not None:
        _check(table, lake, found, version)
    if version is not None and version != newest:
        done = engine.restore(table, version, dry_run)
        committed, added, removed = done.version, done.added, done.removed
    derived = _derived(tables, table) if version not in (None, newest) else ()
    return RestoreResult(
        table.name,
        str(lake),
        newest,
        version,
        committed,
        dry_run,
        added,
        removed,
        derived,
        found,
    )


def _check(table: Table, lake: Lake, found: Tuple[Version, ...], number: int) -> None:
    """Raise UnrestorableVersionError if a version is missing or damaged."""
    what = _fault(table, found, number)
    if not what:
        return
    whole = [each.number for each in found[1:] if each.whole]
    if not whole:
        away = (
            f"If version {found[0].number} is damaged,"
            f" move {lake.location(table)} away"
        )
        raise UnrestorableVersionError(
            f"{what}; no older version is undamaged",
            f"{away}, then: lakekit run --source DIR",
            found,
        )
    more = f" and {len(whole) - NAMED} more" if len(whole) > NAMED else ""
    raise UnrestorableVersionError(
        f"{what}; undamaged versions: {', '.join(map(str, whole[:NAMED]))}{more}",
        f"lakekit restore {table.name} --version {whole[0]}",
        found,
    )


def _fault(table: Table, found: Tuple[Version, ...], number: int) -> str:
    """Return why a version cannot be restored; empty if it can be restored."""
    version = next((each for each in found if each.number == number), None)
    if version is None:
        span = f"the log has versions {found[-1].number} to {found[0].number}"
        return f"{table.name} has no version {number}; {span}"
    if version.whole:
        return ""
    if version.unreadable:
        return f"{table.name}: version {number} cannot be read: {version.unreadable}"
    files = version.damaged or ()
    named = ", ".join(files[:NAMED]) + (", ..." if len(files) > NAMED else "")
    return f"{table.name}: version {number} has missing or damaged files: {named}"


def _derived(tables: TableSet, restored: Table) -> Tuple[str, ...]:
    """Return all tables that depend on the restored table, and the restored table
    itself unless it is a bronze table.
    """
    found: List[str] = [restored.name]
    for table in tables:
        if table.name != restored.name and any(read in found for read in table.reads):
            found.append(table.name)
    return tuple(found[1:] if restored.source else found)
