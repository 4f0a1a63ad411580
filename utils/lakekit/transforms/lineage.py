"""The versions of its input tables that each table has read.

The note in a table's newest commit holds the version of each input table whose rows it
contains. A note may be older than the version that was read, never newer: updates are
idempotent, so the next run repeats what an aborted or concurrent run may have done.
"""

from __future__ import annotations

import hashlib
from typing import Dict, List, Optional, Tuple

from lakekit.declarations.tables import Table, TableSet
from lakekit.engines.engine import Engine, Head, Note, Staged


def digest(tables: TableSet, table: Table) -> str:
    """Return a digest of a table's definition; a table is rebuilt when it changes."""
    parts = ["lakekit 2", table.canonical(), tables.query(table)]
    if table.update == "merge":
        # The types and the missing mark of the source decide which values convert.
        parts.append(tables[table.reads[0]].canonical())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def followed(table: Table) -> Tuple[str, ...]:
    """Return the tables whose versions are in a table's note: its input tables and its
    quarantine.

    If a run stops between its two commits, some rows are gone from the quarantine and
    not yet in the table. The next run finds them by the version of the quarantine.
    """
    return (*table.reads, table.quarantine) if table.quarantine else table.reads


class IncrementalUpdateError(Exception):
    """The new rows alone cannot update a table; `why` states why it is rebuilt."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Lineage:
    """The tables of one run and what they have read. `heads` has their states: updated
    by `refresh` and by commits.
    """

    def __init__(self, engine: Engine, tables: TableSet) -> None:
        self.engine, self.tables = engine, tables
        self.heads: Dict[str, Head] = {}
        self._digests: Dict[str, str] = {}

    def digest(self, table: Table) -> str:
        """Return the digest of a table's definition."""
        if table.name not in self._digests:
            self._digests[table.name] = digest(self.tables, table)
        return self._digests[table.name]

    def refresh(self, *names: str) -> None:
        """Read the states of tables again; a missing table has no head."""
        for name in names:
            head = self.engine.head(self.tables[name])
            if head is None:
                self.heads.pop(name, None)
            else:
                self.heads[name] = head

    def commit(
        self, table: Table, staged: Staged, note: Note, keys: Optional[str] = None
    ) -> int:
        """Commit staged rows as `Engine.commit` does, to the table as it was last read;
        return the version.
        """
        head = self.heads[table.name]
        version = self.engine.commit(table, staged, head, note, keys)
        self.heads[table.name] = head.after(version, note)
        return version

    def advance(self, table: Table, note: Note) -> None:
        """Commit a note without rows, to the table as it was last read."""
        head = self.heads[table.name]
        self.heads[table.name] = head.after(
            self.engine.advance(table, head, note), note
        )

    def note(
        self, table: Table, data: bool = True, quarantine: Optional[int] = None
    ) -> Note:
        """Return the note for a commit made now; `quarantine` is the version that this
        update committed to the quarantine.
        """
        heads = {name: self.heads[name] for name in followed(table)}
        reads = {name: (head.id, head.data_version) for name, head in heads.items()}
        if quarantine is not None:
            reads[table.quarantine] = (heads[table.quarantine].id, quarantine)
        return Note(self.digest(table), reads, data)

    def since(self, table: Table, read: str) -> int:
        """Return the version of an input table up to which its rows are included."""
        note = self.heads[table.name].note
        assert note is not None, table.name
        return note.reads[read][1]

    def changes(self, table: Table, read: str, view: str) -> None:
        """Define a view of the changes of an input table since its rows were last
        included, as `Engine.changes` does. Raises IncrementalUpdateError if they can no
        longer be read.
        """
        since = self.since(table, read)
        if not self.engine.changes(self.tables[read], since, view):
            raise IncrementalUpdateError(f"the history of {read} does not reach back")

    def rebuild_reason(self, table: Table) -> str:
        """Return why the whole table must be rebuilt; empty if new rows are enough."""
        head = self.heads[table.name]
        if head.note is None:
            return "new"
        if head.note.digest != self.digest(table):
            return "its declaration or its SQL changed"
        if head.foreign and table.update != "merge":
            return "another writer changed it"
        for name in followed(table):
            if (
                name not in head.note.reads
                or head.note.reads[name][0] != self.heads[name].id
            ):
                return f"{name} is another table than before"
            if head.note.reads[name][1] > self.heads[name].data_version:
                return f"{name} was set back to an older version"
        return ""

    def moved(self, table: Table) -> List[str]:
        """Return the input tables with rows that are not included yet."""
        return [name for name in followed(table) if self._has_moved(table, name)]

    def _has_moved(self, table: Table, read: str) -> bool:
        note = self.heads[table.name].note
        seen = None if note is None else note.reads.get(read)
        return seen is None or seen[1] != self.heads[read].data_version
