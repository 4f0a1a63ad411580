"""Maintains the files of tables: compacts small files, and deletes unused files."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Tuple, Union

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.tables import Table, TableSet
from lakekit.engines.engine import Engine, Head
from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError, RetentionTooShortError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import check_lake, find_lake

RETAIN_HOURS = 168
"""Delta's default retention period of seven days, in hours. Files that were replaced
within this period are not deleted, because a reader or writer that is still running may
need them.
"""


@dataclass(frozen=True)
class TableMaintenance:
    """The result of the maintenance of one table.

    Attributes:
        compacted: number of data files that compaction merged. `written` is the number
            of new files that replace the merged files. `compacted` and `written` are 0
            if compaction would gain nothing.
        deleted: number of files that were deleted, or that a dry run would delete.
        waiting: other tables that have not yet read all changes of this table. If
            `waiting` is not empty, no file of this table is deleted.
    """

    table: str
    compacted: int
    written: int
    deleted: int
    waiting: Tuple[str, ...] = ()


@dataclass(frozen=True)
class MaintainResult:
    """The results of all existing tables. A dry run does not compact or delete any
    files.
    """

    lake: str
    dry_run: bool
    retain_hours: int
    tables: Tuple[TableMaintenance, ...]

    @property
    def refused(self) -> bool:
        """Whether files were not deleted because another table still needs them."""
        return any(table.waiting for table in self.tables)


def maintain(
    lake: Union[str, os.PathLike[str]],
    *,
    engine: str = "embedded",
    tables: TableSet = TABLES,
    dry_run: bool = False,
    retain_hours: int = RETAIN_HOURS,
) -> MaintainResult:
    """Compact the small files of each table, then delete the files that no version of
    the last `retain_hours` hours uses.

    Versions older than `retain_hours` are then no longer available for time travel. A
    table's files are kept until all dependent tables have read the table's newest
    changes, because `run` reads these changes from the files.

    Raises RetentionTooShortError if `retain_hours` is less than seven days;
    InvalidLakeError if no table exists; DamagedTableError if a table is damaged.
    """
    if retain_hours < RETAIN_HOURS:
        raise RetentionTooShortError(retain_hours, RETAIN_HOURS)
    place = find_lake(lake)
    check_lake(place, tables)
    done: List[TableMaintenance] = []
    with tempfile.TemporaryDirectory(prefix="lakekit-") as scratch:
        with open_engine(engine, place, tables, Path(scratch)) as opened:
            heads = {
                t.name: head
                for t in tables
                for head in [undamaged_head(opened, t)]
                if head is not None
            }
            for table in tables:
                if table.name in heads:
                    done.append(
                        _maintain(
                            opened,
                            table,
                            behind(table.name, heads),
                            dry_run,
                            retain_hours,
                        )
                    )
    if not done:
        raise InvalidLakeError(
            f"{lake} holds none of the tables",
            f"lakekit run --source DIR --lake {lake}",
        )
    return MaintainResult(str(place), dry_run, retain_hours, tuple(done))


def behind(name: str, heads: Mapping[str, Head]) -> Mapping[str, int]:
    """Return the tables that have read table `name`, but not its newest change of rows.
    For each of these tables, the result has the version of `name` that the table has
    read.

    The result does not contain tables that the next run rebuilds: tables that have no
    note of lakekit, or that read an earlier table with the name `name`. The result does
    not contain quarantine tables, because their notes are only updated when rows are
    refused.
    """
    found: Dict[str, int] = {}
    for follower, head in heads.items():
        if follower == name or follower.startswith("quarantine."):
            continue
        seen = head.note.reads.get(name) if head.note else None
        if seen and seen[0] == heads[name].id and seen[1] < heads[name].data_version:
            found[follower] = seen[1]
    return found


def _maintain(
    engine: Engine,
    table: Table,
    followers: Mapping[str, int],
    dry_run: bool,
    hours: int,
) -> TableMaintenance:
    files: Mapping[str, int] = {"files_removed": 0, "files_added": 0}
    if not dry_run:
        files = engine.optimize(table)
    deleted = engine.vacuum(table, hours, dry_run=True)
    waiting: Tuple[str, ...] = ()
    if deleted:
        waiting = tuple(
            name for name, seen in followers.items() if _news(engine, table, seen)
        )
    if deleted and not waiting and not dry_run:
        deleted = engine.vacuum(table, hours, dry_run=False)
    count = 0 if waiting else len(deleted)
    return TableMaintenance(
        table.name, files["files_removed"], files["files_added"], count, waiting
    )


def _news(engine: Engine, table: Table, since: int) -> bool:
    """Return whether rows were added or removed after version `since`. A row that was
    rewritten unchanged counts as neither added nor removed.

    Returns False if the table's history can no longer be read, because the next run
    then rebuilds the tables that read this table.
    """
    if not engine.changes(table, since, "_news"):
        return False
    return bool(engine.query("select 1 from _news where _sign <> 0 limit 1"))
