"""Updates silver and gold tables from their input tables: by key, by group, or the
whole table.

All SQL in this module is valid on both engines.
"""

from __future__ import annotations

from typing import Mapping, Sequence

from lakekit.declarations.names import listed, same
from lakekit.declarations.tables import Table
from lakekit.engines.engine import Staged
from lakekit.errors import ComputeError, DeclarationError
from lakekit.transforms.lineage import IncrementalUpdateError, Lineage
from lakekit.transforms.merge import Counts, Merge, UpdateOutcome, view_of
from lakekit.transforms.rules import doubled, judge


class Updates:
    """The updates of the tables in one run."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._engine, self._tables = lineage.engine, lineage.tables

    def update(self, table: Table, rebuild: bool = False) -> UpdateOutcome:
        """Update one table from its input tables.

        Makes at most one commit to the table. For a merged table, also makes at most
        one commit to the quarantine table. Raises ConflictError if another writer
        committed first; ExpectationFailedError if rows do not meet an expectation of
        severity `fail`. Raises ComputeError, DeclarationError or UnsupportedSqlError if
        the rows cannot be computed.
        """
        why = (
            "its declaration requires it"
            if rebuild
            else self._lineage.rebuild_reason(table)
        )
        moved = self._lineage.moved(table)
        if not why and not moved:
            return UpdateOutcome("unchanged")
        if table.update == "merge":
            return Merge(self._lineage, table).run(why, moved)
        if table.update == "groups" and not why:
            try:
                return self._groups(table, moved)
            except IncrementalUpdateError as needed:
                why = needed.why
        return self._whole(table, why)

    def _whole(self, table: Table, why: str) -> UpdateOutcome:
        engine = self._engine
        views = {}
        for name in table.reads:
            views[name] = view_of(name)
            engine.read(self._tables[name], views[name])
        staged = self._stage(table, views)
        counts = Counts(
            inserted=staged.rows,
            groups=staged.rows,
            expectations=judge(self._engine, table, staged),
        )
        self._lineage.commit(table, staged, self._lineage.note(table))
        return UpdateOutcome("whole", counts, why or "it ranks all rows")

    def _groups(self, table: Table, moved: Sequence[str]) -> UpdateOutcome:
        """Recompute the groups that contain changed rows. Raises IncrementalUpdateError
        if the changes can no longer be read.
        """
        affected = self._engine.keep("affected", self._touched(table, moved))
        if not affected:
            self._lineage.advance(table, self._lineage.note(table, data=False))
            return UpdateOutcome("noted")
        views = {name: self._rows_of(table, name, "affected") for name in table.reads}
        staged = self._stage(table, views, part=True)
        self._check_groups(table, staged, "affected")
        counts = Counts(
            groups=affected,
            inserted=staged.rows,
            expectations=judge(self._engine, table, staged),
        )
        self._lineage.commit(table, staged, self._lineage.note(table), keys="affected")
        return UpdateOutcome("groups", counts)

    def _touched(self, table: Table, moved: Sequence[str]) -> str:
        """Return SQL for the keys of the groups that contain changed rows."""
        key, parts = listed(table.key), []
        for index, name in enumerate(moved):
            self._lineage.changes(table, name, f"changed_{index}")
            parts.append(f"select {key} from changed_{index}")
        return f"select distinct {key} from ({' union all '.join(parts)}) t"

    def _rows_of(self, table: Table, read: str, affected: str) -> str:
        """Define a view of the input table's rows that are in the affected groups;
        return the view's name.
        """
        engine, view = self._engine, f"{view_of(read)}_affected"
        engine.read(self._tables[read], view_of(read))
        columns = listed((c.name for c in self._tables[read].columns), "r.")
        on = same(table.key, "a", "r")
        engine.define(
            view,
            f"select {columns} from {view_of(read)} r join {affected} a on {on}",
        )
        return view

    def _check_groups(self, table: Table, staged: Staged, affected: str) -> None:
        """Raise DeclarationError if the SQL returns rows of groups that are not
        affected.
        """
        on = same(table.key, "a", "s")
        outside = (
            f"select 1 from {staged.view} s"
            f" where not exists (select 1 from {affected} a where {on})"
        )
        if self._engine.query(f"select count(*) from ({outside}) t")[0][0]:
            raise DeclarationError(
                table.name,
                f"its SQL returns values of {', '.join(table.key)}"
                f" that are not in {', '.join(table.reads)}",
            )

    def _stage(
        self, table: Table, views: Mapping[str, str], part: bool = False
    ) -> Staged:
        """Stage the rows that the table's SQL returns when it reads these views. Raises
        ComputeError if two rows have the same key.
        """
        engine = self._engine
        sql = engine.transform(table, self._tables.query(table), views)
        staged = engine.stage(table, f"staged_{view_of(table.name)}", sql, part)
        if table.key and doubled(engine, staged.view, table.key):
            raise ComputeError(
                table.name,
                f"its SQL returns more than one row for a key ({', '.join(table.key)})",
            )
        return staged
