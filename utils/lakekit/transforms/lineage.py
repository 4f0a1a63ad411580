"""Records which versions of its input tables each table has read.

The note in a table's newest commit names one version of each input table. The table
includes the rows of the input table up to this version. The version in the note may be
older than the version that was actually read, but never newer. If the version in the
note is older, the next run repeats some work of an aborted or concurrent run. Repeating
work is safe, because updates are idempotent.
"""

from __future__ import annotations

import hashlib
from typing import Dict, List, Optional, Tuple

from lakekit.declarations.tables import Table, TableSet
from lakekit.engines.engine import Engine, Head, Note, Staged


def digest(tables: TableSet, table: Table) -> str:
    """Return a digest of a table's definition. If the digest changes, the table is
    rebuilt.
    """
    parts = ["lakekit 2", table.canonical(), tables.query(table)]
    if table.update == "merge":
        # The types of the source, and its text for missing values, decide which values
        # convert.
        parts.append(tables[table.reads[0]].canonical())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def followed(table: Table) -> Tuple[str, ...]:
    """Return the tables whose versions are in a table's note: its input tables and its
    quarantine table.

    An update commits to the quarantine and then to the table. If a run stops between
    these two commits, some rows are in neither of the two tables. The next run finds
    these rows, because the quarantine's version is then higher than the version in the
    table's note.
    """
    return (*table.reads, table.quarantine) if table.quarantine else table.reads


class IncrementalUpdateError(Exception):
    """A table cannot be updated incrementally; `why` is the reason for the rebuild."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Lineage:
    """The states of the tables in one run, and the versions that each table has read.

    `heads` has the states. `refresh` and commits update `heads`.
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
        """Read the states of tables again. A table that does not exist has no state."""
        for name in names:
            head = self.engine.head(self.tables[name])
            if head is None:
                self.heads.pop(name, None)
            else:
                self.heads[name] = head

    def commit(
        self, table: Table, staged: Staged, note: Note, keys: Optional[str] = None
    ) -> int:
        """Commit staged rows with `Engine.commit`, on the table version that was read
        last. Return the new version.
        """
        head = self.heads[table.name]
        version = self.engine.commit(table, staged, head, note, keys)
        self.heads[table.name] = head.after(version, note)
        return version

    def advance(self, table: Table, note: Note) -> None:
        """Commit a note without rows, on the table version that was read last."""
        head = self.heads[table.name]
        self.heads[table.name] = head.after(
            self.engine.advance(table, head, note), note
        )

    def note(
        self, table: Table, data: bool = True, quarantine: Optional[int] = None
    ) -> Note:
        """Return the note for a commit that is made now. `quarantine` is the version
        that this update committed to the quarantine table.
        """
        heads = {name: self.heads[name] for name in followed(table)}
        reads = {name: (head.id, head.data_version) for name, head in heads.items()}
        if quarantine is not None:
            reads[table.quarantine] = (heads[table.quarantine].id, quarantine)
        return Note(self.digest(table), reads, data)

    def since(self, table: Table, read: str) -> int:
        """Return a version of the input table `read`: `table` includes the rows of
        `read` up to this version.
        """
        note = self.heads[table.name].note
        assert note is not None, table.name
        return note.reads[read][1]

    def changes(self, table: Table, read: str, view: str) -> None:
        """With `Engine.changes`, define a view of the changes of the input table `read`
        that `table` does not include yet.

        Raises IncrementalUpdateError if the changes can no longer be read.
        """
        since = self.since(table, read)
        if not self.engine.changes(self.tables[read], since, view):
            raise IncrementalUpdateError(
                f"older changes of {read} can no longer be read"
            )

    def rebuild_reason(self, table: Table) -> str:
        """Return why the whole table must be rebuilt. The result is empty if an
        incremental update is enough.
        """
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
                return f"{name} was recreated as another table"
            if head.note.reads[name][1] > self.heads[name].data_version:
                return f"{name} was restored to an older version"
        return ""

    def moved(self, table: Table) -> List[str]:
        """Return the input tables whose newest changes are not in the table yet."""
        return [name for name in followed(table) if self._has_moved(table, name)]

    def _has_moved(self, table: Table, read: str) -> bool:
        note = self.heads[table.name].note
        seen = None if note is None else note.reads.get(read)
        return seen is None or seen[1] != self.heads[read].data_version
