"""Detects damaged tables, whose data files are missing or do not match the table's log.

Commands call `undamaged_head` to check a table before they use the table.
"""

from __future__ import annotations

from typing import Optional, Tuple

from lakekit.declarations.tables import Table
from lakekit.engines.engine import Engine, Head
from lakekit.errors import (
    DamagedTableError,
    MissingExtraError,
    ReaderTooOldError,
    StorageError,
)
from lakekit.storage.versions import Version


def undamaged_head(engine: Engine, table: Table, name: str = "") -> Optional[Head]:
    """Check all data files of a table, then return the result of `Engine.head`.

    Raises DamagedTableError, which contains the newest undamaged version, if the newest
    version is damaged. Raises DamagedLogError, which names the damaged file, if a log
    file is damaged. Raises ReaderTooOldError if the engine cannot open an undamaged
    newest version. If `name` is not empty, error messages use `name` instead of the
    table's name.
    """
    head = None
    try:
        head = engine.head(table)
        damaged = {} if head is None else engine.damaged_files(table)
        for file, reason in damaged.items():
            raise DamagedTableError(table.name, file, reason, None)
    except (DamagedTableError, StorageError) as error:
        versions = _versions(engine, table)
        if isinstance(error, StorageError):
            raise
        # `versions` does not report a missing data file that only a checkpoint lists.
        # So `head` is checked, too; `head` is None if the engine cannot open the table.
        if versions and versions[0].whole and head is None:
            engine.check_log(table)
            raise ReaderTooOldError(name or table.name, error.reason) from error
        whole = next((version.number for version in versions if version.whole), None)
        raise DamagedTableError(
            name or table.name, error.file, error.reason, whole
        ) from error
    return head


def _versions(engine: Engine, table: Table) -> Tuple[Version, ...]:
    """Return the versions in the table's log, newest first. The result is empty if the
    log cannot be reached. Raises DamagedLogError if the log is damaged.
    """
    try:
        return engine.versions(table)
    except (MissingExtraError, StorageError):
        return ()
