"""How a silver or gold table follows what it reads: merged by key, recomputed by group,
or recomputed whole.

All of it is SQL that both engines take as it stands.
"""

from __future__ import annotations

from typing import Mapping, Sequence, Union

from lakekit.declarations.tables import Table
from lakekit.engines.engine import Staged
from lakekit.errors import ComputeError, DeclarationError
from lakekit.transforms.lineage import Following
from lakekit.transforms.merge import Counts, Merge, Updated, view_of
from lakekit.transforms.rules import doubled, judge


class Updates:
    """The updates of one run."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._engine, self._tables = following.engine, following.tables

    def update(self, table: Table, rebuild: bool = False) -> Updated:
        """Bring one table up to date with what it reads, in one commit (and one for its
        quarantine), or none.

        Raises ConflictError when another writer was first, ComputeError,
        DeclarationError, SqlRefused, ExpectationFailed.
        """
        why = (
            "its declaration asks for it"
            if rebuild
            else self._following.made_otherwise(table)
        )
        moved = self._following.moved(table)
        if not why and not moved:
            return Updated("unchanged")
        if table.update == "merge":
            return Merge(self._following, table).run(why, moved)
        if table.update == "groups" and not why:
            found = self._groups(table, moved)
            if isinstance(found, Updated):
                return found
            why = found
        return self._whole(table, why)

    def _whole(self, table: Table, why: str) -> Updated:
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
        self._following.commit(table, staged, self._following.note(table))
        return Updated("whole", counts, why or "it ranks all rows")

    def _groups(self, table: Table, moved: Sequence[str]) -> Union[Updated, str]:
        """The update of the groups that changed rows touch; or, as text, why the whole
        table has to be made.
        """
        engine, key = self._engine, ", ".join(table.key)
        parts = []
        for index, name in enumerate(moved):
            if not engine.changes(
                self._tables[name],
                self._following.since(table, name),
                f"changed_{index}",
            ):
                return f"the history of {name} does not reach back"
            parts.append(f"select {key} from changed_{index}")
        affected = engine.keep(
            "affected", f"select distinct {key} from ({' union all '.join(parts)}) t"
        )
        if not affected:
            self._following.advance(table, self._following.note(table, data=False))
            return Updated("noted")
        views = {}
        for name in table.reads:
            engine.read(self._tables[name], view_of(name))
            views[name] = f"{view_of(name)}_affected"
            columns = ", ".join(
                f"r.{column.name}" for column in self._tables[name].columns
            )
            same = " and ".join(f"a.{name} = r.{name}" for name in table.key)
            engine.define(
                views[name],
                f"select {columns} from {view_of(name)} r join affected a on {same}",
            )
        staged = self._stage(table, views, part=True)
        same = " and ".join(f"a.{name} = s.{name}" for name in table.key)
        outside = (
            f"select 1 from {staged.view} s"
            f" where not exists (select 1 from affected a where {same})"
        )
        if engine.query(f"select count(*) from ({outside}) t")[0][0]:
            raise DeclarationError(
                table.name,
                f"its groups are not the values of {key} in {', '.join(table.reads)}",
            )
        counts = Counts(
            groups=affected,
            inserted=staged.rows,
            expectations=judge(self._engine, table, staged),
        )
        self._following.commit(
            table, staged, self._following.note(table), keys="affected"
        )
        return Updated("groups", counts)

    def _stage(
        self, table: Table, views: Mapping[str, str], part: bool = False
    ) -> Staged:
        """The rows that the table's SQL makes of those views, one for each key."""
        engine = self._engine
        sql = engine.transform(table, self._tables.query(table), views)
        staged = engine.stage(table, f"staged_{view_of(table.name)}", sql, part)
        if table.key and doubled(engine, staged.view, table.key):
            raise ComputeError(
                table.name,
                f"its SQL gives more than one row for a key ({', '.join(table.key)})",
            )
        return staged
