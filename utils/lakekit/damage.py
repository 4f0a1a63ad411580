"""Tables whose data files are not as their log says: noticed before a command uses them."""

from __future__ import annotations

from typing import Optional

from lakekit.engine import Engine, Head
from lakekit.errors import DamagedTable, StorageError
from lakekit.tables import Table

LOOK_BACK = 200
"""Versions that are looked at, at most, for one that is whole."""


def whole_head(engine: Engine, table: Table, name: str = "") -> Optional[Head]:
    """The table as `Engine.head` has it, with all its data files there.

    Raises DamagedTable, which calls the table `name` where the engine has another for it.
    """
    head = engine.head(table)
    if head is not None:
        check_files(engine, table, head, name)
    return head


def check_files(engine: Engine, table: Table, head: Head, name: str = "") -> None:
    """The same of a table that `Engine.head` has just seen."""
    for file, reason in engine.damaged_files(table).items():
        whole = _newest_whole(engine, table, head.version)
        raise DamagedTable(name or table.name, file, reason, whole)


def _newest_whole(engine: Engine, table: Table, version: int) -> Optional[int]:
    """The newest version before that one whose files are all there; None if not found."""
    for earlier in range(version - 1, max(version - 1 - LOOK_BACK, -1), -1):
        try:
            if not engine.damaged_files(table, earlier):
                return earlier
        except StorageError:
            return None  # the log does not reach back further
    return None
