"""Tables whose data files are not as their log says: noticed before a command uses
them.
"""

from __future__ import annotations

from typing import Optional, Tuple

from lakekit.declarations.tables import Table
from lakekit.engines.engine import Engine, Head
from lakekit.errors import (
    DamagedLogError,
    DamagedTableError,
    MissingExtraError,
    ReaderTooOldError,
    StorageError,
)
from lakekit.storage.versions import Version


def whole_head(engine: Engine, table: Table, name: str = "") -> Optional[Head]:
    """The table as `Engine.head` has it, with all its data files there.

    Raises DamagedTableError, with the newest version that is not damaged, and
    ReaderTooOldError where that is the one that the engine cannot open. Both call the
    table `name` where the engine has another name for it.
    """
    try:
        head = engine.head(table)
        damaged = {} if head is None else engine.damaged_files(table)
        for file, reason in damaged.items():
            raise DamagedTableError(table.name, file, reason, None)
    except DamagedTableError as error:
        versions = _versions(engine, table)
        if versions and versions[0].whole:
            raise ReaderTooOldError(name or table.name, error.reason) from error
        whole = next((version.number for version in versions if version.whole), None)
        raise DamagedTableError(
            name or table.name, error.file, error.reason, whole
        ) from error
    return head


def _versions(engine: Engine, table: Table) -> Tuple[Version, ...]:
    """The versions in the log, newest first; none where it cannot be read either."""
    try:
        return engine.versions(table)
    except (DamagedLogError, MissingExtraError, StorageError):
        return ()
