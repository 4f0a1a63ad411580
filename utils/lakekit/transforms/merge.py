"""The merge: the bronze rows that are new, or that changed tables beside them touch, by
key into a silver table.

When a table beside them changes, the rows present and the refused ones are looked at
again. A row that a later one of its key has superseded is not: should a change have it
refused now, it stays superseded, and is missing from the quarantine that a full run
would make. The silver table is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Sequence, Tuple

from lakekit.declarations.tables import Table
from lakekit.engines.engine import Staged
from lakekit.errors import DeclarationError
from lakekit.transforms.lineage import Following
from lakekit.transforms.rules import doubled, judge, misfit_rule, refusal_rule

ROW = ("_source_sha256", "_source_row")


@dataclass(frozen=True)
class Counts:
    """What an update did, in rows; `expectations` has how many rows did not meet each,
    of those looked at.

    Every row read is inserted, updated (replaces the older row of its key), superseded
    (by a later row of its key) or quarantined.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    superseded: int = 0
    quarantined: int = 0
    groups: int = 0
    expectations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Updated:
    """An update that was committed, or had nothing to commit. `why` says what made the
    whole table anew.
    """

    mode: str
    counts: Counts = Counts()
    why: str = ""


def view_of(name: str) -> str:
    """The view that a table is read by."""
    return "v_" + name.replace(".", "_")


class Merge:
    """One merge into one table."""

    def __init__(self, following: Following, table: Table) -> None:
        self._following, self._table = following, table
        self._engine, self._tables = following.engine, following.tables
        self._follows = self._tables[table.reads[0]]
        self._quarantine = self._tables[table.quarantine]
        self._key = ", ".join(table.key)
        self._columns = ", ".join(column.name for column in table.columns)
        self._bronze = ", ".join(column.name for column in self._follows.columns)
        self._again = self._fresh = 0
        self._doubtful = False

    def run(self, why: str, moved: Sequence[str]) -> Updated:
        """Merge, and say what became of each row."""
        engine, table = self._engine, self._table
        engine.read(self._follows, "followed")
        for name in table.reads[1:]:
            engine.read(self._tables[name], view_of(name))
        engine.read(table, "present")
        engine.read(self._quarantine, "quarantined")
        if not why:
            why = self._collect(moved)
        if why:
            engine.define("fresh", f"select {self._bronze} from followed")
        misfits = self._check_types(whole=bool(why))
        views = {name: view_of(name) for name in table.reads[1:]}
        sql = engine.transform(
            table, self._tables.query(table), {**views, self._follows.name: "good"}
        )
        staged = engine.stage(table, "typed", sql, part=not why)
        read = self._count("fresh") if why else self._fresh
        if read != staged.rows + misfits:
            what = (
                f"its SQL makes {staged.rows:,} rows of {read - misfits:,}; a merged"
                " table's makes one of each"
            )
            raise DeclarationError(
                table.name,
                f"{what}, and what is not wanted is dropped by an expectation",
            )
        expectations = judge(engine, table, staged)
        columns = f"{self._columns}, {refusal_rule(engine, table)} as _rule"
        engine.define("judged", f"select {columns} from {staged.view}")
        refused = self._count("judged", "_rule is not null")
        if (
            refused
            and not why
            and self._count_joined("judged", "present", ROW, "a._rule is not null")
        ):
            # An older row of the same key may have to come back: only all rows can
            # tell.
            return self.run("a row that was in is refused now", moved)
        final = staged
        if refused or not why or doubled(engine, staged.view, table.key):
            if not why:
                self._keep_held()
            final = engine.stage(
                table, "winners", self._winners(among_present=not why), part=not why
            )
            inserted = (
                final.rows
                if why
                else final.rows - self._count_joined("winners", "held", table.key)
            )
        else:
            inserted = staged.rows
        settled = self._settle_quarantine(misfits, refused, whole=bool(why))
        counts = Counts(
            read=read,
            inserted=inserted,
            updated=final.rows - inserted,
            superseded=staged.rows - refused - final.rows,
            quarantined=misfits + refused,
            expectations=expectations,
        )
        self._commit(final, settled, whole=bool(why))
        return Updated("whole" if why else "merged", counts, why)

    def _collect(self, moved: Sequence[str]) -> str:
        """Define `fresh`: the bronze rows to look at; or say why all of them are."""
        engine, table = self._engine, self._table
        parts: List[str] = []
        again: List[str] = []
        for name in moved:
            view = f"news_{view_of(name)}"
            if not engine.changes(
                self._tables[name], self._following.since(table, name), view
            ):
                return f"the history of {name} does not reach back"
            if name == self._follows.name:
                if self._count(view, "_sign < 0"):
                    return f"rows were removed from {name}"
                parts.append(f"select {self._bronze} from {view}")
                continue
            if not self._count(view):
                continue
            if name == self._quarantine.name:
                # A run that died, or met another writer, took these out or put them in,
                # and no more.
                self._doubtful = True
                again.append(f"select {', '.join(ROW)} from {view}")
                continue
            joins = [join for join in table.joins if join.read == name]
            if not joins:
                return f"{name} changed, and no Join says which rows it touches"
            for join in joins:
                there = ", ".join(a for a, _ in join.on)
                same = " and ".join(f"n.{a} = p.{b}" for a, b in join.on)
                rows = ", ".join(f"p.{column}" for column in ROW)
                again.append(
                    f"select {rows} from present p join (select distinct {there}"
                    f" from {view}) n on {same}"
                )
        if again:
            # What was refused may be taken, now that other rows are found beside it.
            again.append(f"select {', '.join(ROW)} from quarantined")
            self._doubtful = self._doubtful or bool(engine.rows(self._quarantine))
            self._again = engine.keep(
                "again", f"select distinct * from ({' union all '.join(again)}) t"
            )
        if self._again:
            columns = ", ".join(f"f.{column.name}" for column in self._follows.columns)
            same = " and ".join(f"a.{column} = f.{column}" for column in ROW)
            parts.append(f"select {columns} from followed f join again a on {same}")
        if not parts:
            parts = [f"select {self._bronze} from followed where false"]
        self._fresh = engine.keep("fresh", " union ".join(parts))
        return ""

    def _check_types(self, whole: bool) -> int:
        """Define `good`: the fresh rows whose values all convert. The number of the
        others.

        By the notes of their files, for new rows; those that are looked at again were
        converted before, but for what the quarantine has or had.
        """
        engine = self._engine
        since = -1 if whole else self._following.since(self._table, self._follows.name)
        notes = engine.notes(self._follows, since)
        declared = self._following.digest(self._follows)
        known = all(
            note is not None and note.digest == declared and not note.misfits
            for note in notes
        )
        if known and not self._doubtful:
            engine.define(
                "checked",
                f"select {self._bronze}, cast(null as string) as _rule"
                " from fresh where false",
            )
            engine.define("good", f"select {self._bronze} from fresh")
            return 0
        rule = misfit_rule(engine, self._follows)
        engine.define("checked", f"select {self._bronze}, {rule} as _rule from fresh")
        engine.define("good", f"select {self._bronze} from checked where _rule is null")
        return self._count("checked", "_rule is not null")

    def _keep_held(self) -> None:
        """Keep as `held` the rows present of the keys that are taken now: what tells
        which is the latest.
        """
        columns = ", ".join(
            f"p.{name}"
            for name in dict.fromkeys((*self._table.key, *self._table.order))
        )
        same = " and ".join(f"k.{name} = p.{name}" for name in self._table.key)
        keys = f"select distinct {self._key} from judged where _rule is null"
        self._engine.keep(
            "held", f"select {columns} from present p join ({keys}) k on {same}"
        )

    def _winners(self, among_present: bool) -> str:
        """The latest row of each key, of those taken now; among those held where
        asked.
        """
        candidates = (
            f"select {self._columns}, 1 as _new from judged where _rule is null"
        )
        if among_present:
            has = (*self._table.key, *self._table.order)
            columns = ", ".join(
                (
                    column.name
                    if column.name in has
                    else f"cast(null as {column.type}) as {column.name}"
                )
                for column in self._table.columns
            )
            candidates += f" union all select {columns}, 0 from held"
        order = ", ".join(f"{name} desc" for name in self._table.order)
        nth = (
            f"row_number() over (partition by {self._key}"
            f" order by {order}, _new desc) as _nth"
        )
        ranked = f"select {self._columns}, _new, {nth} from ({candidates}) c"
        return f"select {self._columns} from ({ranked}) r where _nth = 1 and _new = 1"

    def _settle_quarantine(
        self, misfits: int, refused: int, whole: bool
    ) -> Optional[int]:
        """Put the rows refused now in the place of what the quarantine held of the rows
        looked at; the version made.
        """
        engine, quarantine = self._engine, self._quarantine
        held = engine.rows(quarantine)
        if held and not whole:
            held = self._count_joined("fresh", "quarantined", ROW)
        if not misfits and not refused and not held:
            return None
        columns = ", ".join(f"f.{column.name}" for column in self._follows.columns)
        same = " and ".join(f"j.{column} = f.{column}" for column in ROW)
        rows = f"select {self._bronze}, _rule from checked where _rule is not null"
        rows += (
            f" union all select {columns}, j._rule from fresh f join judged j on {same}"
            " where j._rule is not null"
        )
        staged = engine.stage(quarantine, "refused", rows, part=not whole)
        engine.define("looked_at", f"select {', '.join(ROW)} from fresh")
        note = self._following.note(self._table)
        return self._following.commit(
            quarantine, staged, note, keys=None if whole else "looked_at"
        )

    def _commit(self, final: Staged, settled: Optional[int], whole: bool) -> None:
        following, table = self._following, self._table
        note = following.note(table, data=whole or bool(final.rows), quarantine=settled)
        if whole:
            following.commit(table, final, note)
        elif final.rows:
            self._engine.define("taken", f"select {self._key} from {final.view}")
            following.commit(table, final, note, keys="taken")
        else:
            following.advance(table, note)

    def _count(self, view: str, where: str = "true") -> int:
        return int(
            self._engine.query(f"select count(*) from {view} where {where}")[0][0]
        )

    def _count_joined(
        self, left: str, right: str, on: Tuple[str, ...], where: str = "true"
    ) -> int:
        """Rows of the left whose key is on the right."""
        same = " and ".join(f"a.{name} = b.{name}" for name in on)
        inside = f"exists (select 1 from {right} b where {same})"
        return int(
            self._engine.query(
                f"select count(*) from {left} a where {where} and {inside}"
            )[0][0]
        )
