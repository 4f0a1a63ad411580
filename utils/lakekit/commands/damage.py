"""Detects damaged tables: data files that are missing or differ from the log.

Commands check their tables by `whole_head` before they use them.
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


def whole_head(engine: Engine, table: Table, name: str = "") -> Optional[Head]:
    """Return the table as `Engine.head` does, after a check that all its data files
    exist.

    Raises DamagedTableError, with the newest version that is not damaged;
    DamagedLogError, with the file of the log that no reader can read; ReaderTooOldError
    if the newest version is not damaged but the engine cannot open it. `name` is the
    table's name in errors, if the engine uses another name.
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
        # If only a checkpoint lists a missing file, `versions` does not report it.
        if versions and versions[0].whole and head is None:
            engine.check_log(table)
            raise ReaderTooOldError(name or table.name, error.reason) from error
        whole = next((version.number for version in versions if version.whole), None)
        raise DamagedTableError(
            name or table.name, error.file, error.reason, whole
        ) from error
    return head


def _versions(engine: Engine, table: Table) -> Tuple[Version, ...]:
    """Return the versions in the log, newest first. The result is empty if the log
    cannot be reached. Raises DamagedLogError.
    """
    try:
        return engine.versions(table)
    except (MissingExtraError, StorageError):
        return ()
