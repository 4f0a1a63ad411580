"""Tables whose data files are not as their log says: noticed before a command uses them."""

from __future__ import annotations

from typing import Optional

from lakekit.engine import Engine, Head
from lakekit.errors import DamagedLog, DamagedTable, MissingExtra, StorageError
from lakekit.tables import Table


def whole_head(engine: Engine, table: Table, name: str = "") -> Optional[Head]:
    """The table as `Engine.head` has it, with all its data files there.

    Raises DamagedTable, with the newest version that is not damaged. It calls the table `name`
    where the engine has another name for it.
    """
    try:
        head = engine.head(table)
        damaged = {} if head is None else engine.damaged_files(table)
        for file, reason in damaged.items():
            raise DamagedTable(table.name, file, reason, None)
    except DamagedTable as error:
        version = _newest_whole(engine, table)
        raise DamagedTable(name or table.name, error.file, error.reason, version) from error
    return head


def _newest_whole(engine: Engine, table: Table) -> Optional[int]:
    """The newest version that is not damaged; None where the log does not have one."""
    try:
        versions = engine.versions(table)
    except (DamagedLog, MissingExtra, StorageError):
        return None
    return next((version.number for version in versions if version.whole), None)
