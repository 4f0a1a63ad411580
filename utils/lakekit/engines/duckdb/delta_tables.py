"""Opens the Delta tables of one lake with delta-rs.

A table is opened once. Until a table is refreshed, all reads return the version that
was opened.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Optional

from lakekit.declarations.tables import Table
from lakekit.engines.duckdb import delta_log
from lakekit.engines.engine import Head
from lakekit.errors import ConflictError, MissingExtraError, StorageError
from lakekit.storage import log_restore
from lakekit.storage.lake import Lake
from lakekit.storage.log_files import LogFiles
from lakekit.storage.log_restore import RestoreOutcome

try:
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError, DeltaError
except ModuleNotFoundError as missing:
    raise MissingExtraError(str(missing.name), "embedded") from missing


class DeltaTables:
    """The tables of one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._seen: Dict[str, DeltaTable] = {}

    def location(self, table: Table) -> str:
        """Return the table's path or URL."""
        return self._lake.location(table)

    def head(self, table: Table) -> Optional[Head]:
        """Open the newest version and return its state, as `Engine.head` does."""
        self.forget(table)
        delta = self.open(table)
        if delta is None:
            return None
        with delta_log.reading(table, self.location(table)):
            return delta_log.head(delta)

    def open(self, table: Table) -> Optional[DeltaTable]:
        """Return the table at the version that was read first, so that all reads of one
        update see the same version. A table that was not opened before is opened at its
        newest version.
        """
        delta = self._seen.get(table.name) or delta_log.open_table(self._lake, table)
        if delta is not None:
            self._seen[table.name] = delta
        return delta

    def now(self, table: Table) -> DeltaTable:
        """Return the table as `open` does. Raises StorageError if the table does not
        exist.
        """
        delta = self.open(table)
        if delta is None:
            raise StorageError(Path(self.location(table)), "the table is gone")
        return delta

    def at(self, table: Table, head: Head) -> DeltaTable:
        """Return the table. Raises ConflictError if the table is no longer at the
        version of `head`.
        """
        delta = self.now(table)
        if delta.version() != head.version:
            raise ConflictError(table.name)
        return delta

    def before(self, table: Table, version: int) -> DeltaTable:
        """Return an older version of the table.

        Raises DamagedLogError if the log is damaged; DamagedTableError if the version
        cannot be read, or is no longer in the log.
        """
        return delta_log.load(self._lake, table, version)

    def forget(self, table: Table) -> None:
        """Drop the cached table. The next use of the table opens the newest version."""
        self._seen.pop(table.name, None)

    def move_on(self, table: Table) -> int:
        """Refresh the table after a commit; return the new version."""
        try:
            self._seen[table.name].update_incremental()
        except DeltaError:
            self.forget(table)
        return self.now(table).version()

    def restore(
        self, table: Table, files: LogFiles, version: int, dry_run: bool
    ) -> RestoreOutcome:
        """Restore an older version as a new commit, as `Engine.restore` does.

        If delta-rs can open the newest version, delta-rs makes the commit. If delta-rs
        cannot open the newest version, lakekit writes the commit itself.
        """
        target, newest = log_restore.states(files, version)
        added, removed = map(len, log_restore.difference(target, newest))
        if dry_run:
            return RestoreOutcome(None, added, removed)
        self.forget(table)
        try:
            delta = DeltaTable(self.location(table))
        # For example, delta-rs cannot open a table whose required partition column has
        # a null.
        except (DeltaError, ValueError):
            made = log_restore.write_restore(table.name, files, target, newest)
            return RestoreOutcome(made, added, removed)
        with self.changing(table):
            delta.restore(version)
        return RestoreOutcome(delta.version(), added, removed)

    @contextmanager
    def changing(self, table: Table) -> Iterator[None]:
        """While delta-rs changes a table, translate errors of delta-rs into
        ConflictError or StorageError. With or without an error, the cached table is
        dropped.
        """
        try:
            yield
        except CommitFailedError as error:
            raise ConflictError(table.name) from error
        except (DeltaError, OSError) as error:
            raise StorageError(
                Path(self.location(table)), delta_log.first_line(error)
            ) from error
        finally:
            self.forget(table)
