"""Detects damaged tables: data files that are missing or differ from the log.

Commands check their tables with it before they use them.
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
    """Return the table as `Engine.head` does, after checking that all its data files
    exist.

    Raises DamagedTableError, with the newest version that is not damaged,
    DamagedLogError, with the file of the log that no reader can pass, and
    ReaderTooOldError if the engine cannot open that version. Both errors name the table
    `name` if the engine uses another name for it.
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
        # A file of the newest version that is missing by a checkpoint alone is damage.
        if versions and versions[0].whole and head is None:
            engine.check_log(table)
            raise ReaderTooOldError(name or table.name, error.reason) from error
        whole = next((version.number for version in versions if version.whole), None)
        raise DamagedTableError(
            name or table.name, error.file, error.reason, whole
        ) from error
    return head


def _versions(engine: Engine, table: Table) -> Tuple[Version, ...]:
    """Return the versions in the log, newest first; empty if the log cannot be reached.
    Raises DamagedLogError.
    """
    try:
        return engine.versions(table)
    except (MissingExtraError, StorageError):
        return ()
