"""The source files that a run refuses, and the tables that it therefore does not
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
"""The effect of a refused file: `stop` stops the tables that read its source; `skip`
only leaves the file out.
"""
POLICIES: Tuple[Policy, ...] = ("stop", "skip")


class Refusals:
    """The refused files of one run."""

    def __init__(self, tables: TableSet, policy: Policy) -> None:
        self._tables, self._policy = tables, policy
        self._refused: Dict[str, List[SourceError]] = {}
        self._stopped: Set[str] = set()

    def add(self, source: str, error: SourceError, stop: bool = False) -> None:
        """Add the error of a refused file of a source. With `stop`, the source's table
        is stopped even if the policy is `skip`.
        """
        self._refused.setdefault(source, []).append(error)
        if stop or self._policy == "stop":
            self.stop(source)

    def stop(self, source: str) -> None:
        """Stop the table of a source, and the tables that read it."""
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
        """Return the names of the stopped tables."""
        return frozenset(self._stopped)

    def of(self, source: str) -> Tuple[str, ...]:
        """Return the reasons why files of a source are left out. Each reason names its
        file.
        """
        return tuple(error.what for error in self._refused.get(source, ()))

    def raise_if_all_stopped(self) -> None:
        """Raise an error if all tables are stopped."""
        if len(self._stopped) == len(self._tables):
            self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raise an error if a table is stopped.

        If all tables are stopped by a single file, this is the file's own error;
        otherwise it is RefusedFilesError, or UnreadableFilesError.
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
