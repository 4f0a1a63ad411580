"""The source files that a run refuses, and the tables that it does not update because
of them.

A table is stopped if a file of its source is refused, or if it reads a stopped table.
All other tables are updated. With `skip`, a refused file stops no table that has other
files or rows.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Literal, Set, Tuple

from lakekit.declarations.tables import TableSet
from lakekit.errors import RefusedFilesError, SourceError

Policy = Literal["stop", "skip"]
"""What a refused file does: `stop` stops the tables that read its source; `skip` leaves
the file out.
"""
POLICIES: Tuple[Policy, ...] = ("stop", "skip")


class Refusals:
    """The refused files of one run."""

    def __init__(self, tables: TableSet, policy: Policy) -> None:
        self._tables, self._policy = tables, policy
        self._refused: Dict[str, List[SourceError]] = {}
        self._stopped: Set[str] = set()

    def add(self, source: str, error: SourceError, stop: bool = False) -> None:
        """Add a refused file of a source. `stop` is whether it stops the source's table
        also with `skip`.
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
        """Return the files of a source that are left out, and the reasons."""
        return tuple(error.what for error in self._refused.get(source, ()))

    def raise_if_all_stopped(self) -> None:
        """Raise an error if all tables are stopped."""
        if len(self._stopped) == len(self._tables):
            self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raise an error if a table is stopped: the file's own error if it is the only
        one and stops all tables, or else RefusedFilesError.
        """
        if not self._stopped:
            return
        errors = [error for found in self._refused.values() for error in found]
        others = len(self._stopped) < len(self._tables)
        if len(errors) == 1 and not others:
            raise errors[0]
        names = [table.name for table in self._tables if table.name in self._stopped]
        files = [error.what for error in errors]
        raise RefusedFilesError(files, names, others) from errors[0]
