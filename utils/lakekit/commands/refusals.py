"""The source files that a run refuses, and the tables that the run therefore does not
update.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Literal, Set, Tuple

from lakekit.declarations.tables import TableSet
from lakekit.errors import (
    RefusedFilesError,
    SourceError,
    UnreadableFilesError,
    UnreadableSourceError,
)

Policy = Literal["stop", "skip"]
"""The effect of a refused file on a run. `stop`: the tables that depend on the file's
source are not updated. `skip`: only the refused file is not ingested.
"""
POLICIES: Tuple[Policy, ...] = ("stop", "skip")


class Refusals:
    """The refused files of one run."""

    def __init__(self, tables: TableSet, policy: Policy) -> None:
        self._tables, self._policy = tables, policy
        self._refused: Dict[str, List[SourceError]] = {}
        self._stopped: Set[str] = set()

    def add(self, source: str, error: SourceError, stop: bool = False) -> None:
        """Record the error of a refused source file. If `stop` is true, the table of
        the source is stopped even if the policy is `skip`.
        """
        self._refused.setdefault(source, []).append(error)
        if stop or self._policy == "stop":
            self.stop(source)

    def stop(self, source: str) -> None:
        """Mark the table of a source, and all tables that depend on this table, as
        stopped. A run does not update stopped tables.
        """
        for table in self._tables:
            owners = (t.name for t in self._tables if t.quarantine == table.name)
            if (
                (table.source is not None and table.source.name == source)
                or not self._stopped.isdisjoint(table.reads)
                or not self._stopped.isdisjoint(owners)
            ):
                self._stopped.add(table.name)

    @property
    def stopped(self) -> FrozenSet[str]:
        """Return the names of the tables that refused files stop."""
        return frozenset(self._stopped)

    def of(self, source: str) -> Tuple[str, ...]:
        """Return why files of a source are refused. Each reason names its file."""
        return tuple(error.what for error in self._refused.get(source, ()))

    def raise_if_all_stopped(self) -> None:
        """Raise an error if refused files stop all tables."""
        if len(self._stopped) == len(self._tables):
            self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raise an error if refused files stop any table.

        If a single file stops all tables, raises the error of this file. In all other
        cases, raises RefusedFilesError, or UnreadableFilesError if none of the refused
        files can be read.
        """
        if not self._stopped:
            return
        errors = [error for found in self._refused.values() for error in found]
        others = len(self._stopped) < len(self._tables)
        if len(errors) == 1 and not others:
            raise errors[0]
        names = [table.name for table in self._tables if table.name in self._stopped]
        files = [error.what for error in errors]
        unreadable = all(isinstance(error, UnreadableSourceError) for error in errors)
        kind = UnreadableFilesError if unreadable else RefusedFilesError
        raise kind(files, names, others) from errors[0]
