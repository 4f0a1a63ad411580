"""Merges new and affected bronze rows by key into a silver table.

When a joined table changes, the existing rows that match the change, and all
quarantined rows, are checked again. Superseded rows are not checked again. If a
superseded row now violates a rule, it is not moved to the quarantine, although a
rebuild would move it there. The silver table is the same, whether or not the row is
moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import List, Mapping, Optional, Sequence, Tuple

from lakekit.declarations.names import listed, quoted, same
from lakekit.declarations.tables import Table
from lakekit.engines.engine import Staged
from lakekit.errors import DeclarationError
from lakekit.transforms.lineage import IncrementalUpdateError, Lineage
from lakekit.transforms.rules import doubled, judge, misfit_rule, refusal_rule

ROW = ("_source_sha256", "_source_row")


@dataclass(frozen=True)
class Counts:
    """The numbers of rows of an update. `expectations` has the number of checked rows
    that do not meet each expectation.

    Every row that is read is counted once: as inserted, updated, superseded or
    quarantined. An updated row replaces an older row that has the same key. For a
    superseded row, there is a later row that has the same key.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    superseded: int = 0
    quarantined: int = 0
    groups: int = 0
    expectations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class UpdateOutcome:
    """The result of an update, even if it made no commit. `why` is the reason for a
    rebuild of the whole table; it is empty if the table was not rebuilt.
    """

    mode: str
    counts: Counts = Counts()
    why: str = ""


def view_of(name: str) -> str:
    """Return the name of the view of a table."""
    return "v_" + name.replace(".", "_")


FOLLOWED, PRESENT, QUARANTINED = "followed", "present", "quarantined"
"""The names of three views, which show tables as they were before the merge: the bronze
table, the merged table and its quarantine table.
"""


@dataclass(frozen=True)
class NewRows:
    """The bronze rows to merge: a view and their number.

    Attributes:
        why: the reason for merging all rows of the table; None if only some rows are
            merged.
        doubtful: whether the rows must be checked for values that do not convert,
            although the notes in the commits of their files state that all values
            convert.
    """

    view: str
    rows: int
    why: Optional[str] = None
    doubtful: bool = False

    @property
    def whole(self) -> bool:
        """Return whether the whole table is rebuilt."""
        return self.why is not None


@dataclass(frozen=True)
class ConvertedRows:
    """The new rows after conversion.

    `good` is a view of the rows whose values all convert. `checked` is a view of the
    rows that were checked. The column `_rule` of `checked` has the rule that refuses
    the row, or null if the row is not refused. `misfits` is the number of refused rows.
    """

    good: str
    checked: str
    misfits: int


@dataclass(frozen=True)
class CheckedRows:
    """A view of the typed rows, and the number of refused rows. The column `_rule` of
    the view has the rule that refuses the row, or null if the row is not refused.
    """

    view: str
    refused: int


@dataclass(frozen=True)
class MergedRows:
    """The rows to commit to the table, and the number of rows with a new key."""

    staged: Staged
    inserted: int


class Merge:
    """One merge into one table."""

    def __init__(self, lineage: Lineage, table: Table) -> None:
        self._lineage, self._table = lineage, table
        self._engine, self._tables = lineage.engine, lineage.tables
        self._follows = self._tables[table.reads[0]]
        self._quarantine = self._tables[table.quarantine]
        self._key = listed(table.key)
        self._columns = listed(column.name for column in table.columns)
        self._bronze = listed(column.name for column in self._follows.columns)

    def run(self, why: str, moved: Sequence[str]) -> UpdateOutcome:
        """Merge, and return the numbers of rows.

        If `why` is not empty, it is the reason for a rebuild, and all rows are merged.
        If `why` is empty, only rows that are affected by changes in the tables `moved`
        are merged.
        """
        self._read()
        if not why:
            try:
                return self._merge(self._part(moved))
            except IncrementalUpdateError as needed:
                why = needed.why
        return self._merge(self._all(why))

    def _read(self) -> None:
        engine, table = self._engine, self._table
        engine.read(self._follows, FOLLOWED)
        for name in table.reads[1:]:
            engine.read(self._tables[name], view_of(name))
        engine.read(table, PRESENT)
        engine.read(self._quarantine, QUARANTINED)

    def _merge(self, fresh: NewRows) -> UpdateOutcome:
        """Merge these rows. Raises IncrementalUpdateError if it turns out that more
        rows must be merged.
        """
        converted = self._convert(fresh)
        typed = self._transform(fresh, converted)
        expectations = judge(self._engine, self._table, typed)
        judged = self._find_refused(fresh, typed)
        taken = self._take(fresh, typed, judged)
        settled = self._settle_quarantine(fresh, converted, judged)
        counts = Counts(
            read=fresh.rows,
            inserted=taken.inserted,
            updated=taken.staged.rows - taken.inserted,
            superseded=typed.rows - judged.refused - taken.staged.rows,
            quarantined=converted.misfits + judged.refused,
            expectations=expectations,
        )
        self._commit(taken.staged, settled, fresh.whole)
        return UpdateOutcome(
            "whole" if fresh.whole else "merged", counts, fresh.why or ""
        )

    def _all(self, why: str) -> NewRows:
        self._engine.define("fresh", f"select {self._bronze} from {FOLLOWED}")
        return NewRows("fresh", self._count("fresh"), why)

    def _part(self, moved: Sequence[str]) -> NewRows:
        """Return the new bronze rows, and the rows to check again.

        Raises IncrementalUpdateError if the rows cannot be determined.
        """
        parts = [self._new()] if self._follows.name in moved else []
        own = (self._follows.name, self._quarantine.name)
        again = [
            rows for name in moved if name not in own for rows in self._touched(name)
        ]
        unsettled = self._unsettled() if self._quarantine.name in moved else []
        again += unsettled
        if again:
            # The joined tables have changed, so rows that were refused may be accepted
            # now.
            again.append(f"select {', '.join(ROW)} from {QUARANTINED}")
            parts += self._bronze_of(again)
        doubtful = bool(unsettled or again and self._engine.rows(self._quarantine))
        if not parts:
            parts = [f"select {self._bronze} from {FOLLOWED} where false"]
        rows = self._engine.keep("fresh", " union ".join(parts))
        return NewRows("fresh", rows, doubtful=doubtful)

    def _changes(self, name: str) -> str:
        """Return the view of the changes of an input table."""
        view = f"news_{view_of(name)}"
        self._lineage.changes(self._table, name, view)
        return view

    def _new(self) -> str:
        """Return SQL for the new bronze rows."""
        view = self._changes(self._follows.name)
        if self._count(view, "_sign < 0"):
            raise IncrementalUpdateError(f"rows were removed from {self._follows.name}")
        return f"select {self._bronze} from {view}"

    def _touched(self, name: str) -> List[str]:
        """Return SQL for the existing rows that match changed rows of a joined table.
        There is one query for each Join. The result is empty if no row changed.
        """
        view = self._changes(name)
        if not self._count(view):
            return []
        joins = [join for join in self._table.joins if join.read == name]
        if not joins:
            raise IncrementalUpdateError(
                f"{name} changed, and no Join defines the rows that match it"
            )
        rows = ", ".join(f"p.{column}" for column in ROW)
        found = []
        for join in joins:
            there = listed(a for a, _ in join.on)
            on = " and ".join(f"n.{quoted(a)} = p.{quoted(b)}" for a, b in join.on)
            found.append(
                f"select {rows} from {PRESENT} p join (select distinct {there}"
                f" from {view}) n on {on}"
            )
        return found

    def _unsettled(self) -> List[str]:
        """Return SQL for rows that were added to or removed from the quarantine
        although the table was not updated afterwards.

        An interrupted run, or a run that had a conflict, may have changed the
        quarantine but not the table. The result is empty if no rows were added or
        removed.
        """
        view = self._changes(self._quarantine.name)
        return [f"select {', '.join(ROW)} from {view}"] if self._count(view) else []

    def _bronze_of(self, identified: Sequence[str]) -> List[str]:
        """Return SQL for the bronze rows that these queries identify. The result is
        empty if the queries return no rows.
        """
        if not self._engine.keep(
            "again", f"select distinct * from ({' union all '.join(identified)}) t"
        ):
            return []
        columns = listed((c.name for c in self._follows.columns), "f.")
        on = same(ROW, "a", "f")
        return [f"select {columns} from {FOLLOWED} f join again a on {on}"]

    def _convert(self, fresh: NewRows) -> ConvertedRows:
        """Separate the rows whose values all convert from the other rows.

        For new rows, the notes of their files state whether all values convert. Rows
        that are checked again were converted before, except rows that are or were in
        the quarantine.
        """
        engine, converted = self._engine, ConvertedRows("good", "checked", 0)
        since = (
            -1 if fresh.whole else self._lineage.since(self._table, self._follows.name)
        )
        notes = engine.notes(self._follows, since)
        declared = self._lineage.digest(self._follows)
        known = all(
            note is not None and note.digest == declared and not note.misfits
            for note in notes
        )
        if known and not fresh.doubtful:
            engine.define(
                converted.checked,
                f"select {self._bronze}, cast(null as string) as _rule"
                f" from {fresh.view} where false",
            )
            engine.define(converted.good, f"select {self._bronze} from {fresh.view}")
            return converted
        rule = misfit_rule(engine, self._follows)
        engine.define(
            converted.checked,
            f"select {self._bronze}, {rule} as _rule from {fresh.view}",
        )
        engine.define(
            converted.good,
            f"select {self._bronze} from {converted.checked} where _rule is null",
        )
        misfits = self._count(converted.checked, "_rule is not null")
        return replace(converted, misfits=misfits)

    def _transform(self, fresh: NewRows, converted: ConvertedRows) -> Staged:
        """Apply the table's SQL to the rows whose values all convert. Raises
        DeclarationError if the SQL does not return one row for each input row.
        """
        engine, table = self._engine, self._table
        views = {name: view_of(name) for name in table.reads[1:]}
        views[self._follows.name] = converted.good
        sql = engine.transform(table, self._tables.query(table), views)
        typed = engine.stage(table, "typed", sql, part=not fresh.whole)
        good = fresh.rows - converted.misfits
        if typed.rows != good:
            raise DeclarationError(
                table.name,
                f"its SQL returns {typed.rows:,} rows for {good:,} input rows, but must"
                " return one row for each; to drop rows, declare expectations",
            )
        return typed

    def _find_refused(self, fresh: NewRows, typed: Staged) -> CheckedRows:
        """Find the rows that the table refuses.

        Raises IncrementalUpdateError if the table already has a row that is refused
        now, because an older row with the same key may have to replace this row.
        """
        columns = f"{self._columns}, {refusal_rule(self._engine, self._table)} as _rule"
        self._engine.define("judged", f"select {columns} from {typed.view}")
        judged = CheckedRows("judged", self._count("judged", "_rule is not null"))
        if (
            judged.refused
            and not fresh.whole
            and self._count_joined(judged.view, PRESENT, ROW, "a._rule is not null")
        ):
            raise IncrementalUpdateError("a row of the table is refused now")
        return judged

    def _take(self, fresh: NewRows, typed: Staged, judged: CheckedRows) -> MergedRows:
        """Return the rows to commit: the latest row of each key, unless the table has a
        later row.
        """
        engine, table = self._engine, self._table
        if fresh.whole:
            if not judged.refused and not doubled(engine, typed.view, table.key):
                return MergedRows(typed, typed.rows)
            winners = engine.stage(table, "winners", self._winners(judged))
            return MergedRows(winners, winners.rows)
        held = self._keep_held(judged)
        winners = engine.stage(table, "winners", self._winners(judged, held), part=True)
        replaced = self._count_joined(winners.view, held, table.key)
        return MergedRows(winners, winners.rows - replaced)

    def _keep_held(self, judged: CheckedRows) -> str:
        """Store the key and the ordering columns of existing rows that have the same
        key as an accepted row. Return the name under which the rows are stored.
        """
        names = dict.fromkeys((*self._table.key, *self._table.order))
        columns = listed(names, "p.")
        on = same(self._table.key, "k", "p")
        keys = f"select distinct {self._key} from {judged.view} where _rule is null"
        self._engine.keep(
            "held", f"select {columns} from {PRESENT} p join ({keys}) k on {on}"
        )
        return "held"

    def _winners(self, judged: CheckedRows, held: Optional[str] = None) -> str:
        """Return SQL for the latest accepted row of each key. If `held` is given, the
        result does not contain keys that have a later row in `held`.
        """
        candidates = (
            f"select {self._columns}, 1 as _new from {judged.view} where _rule is null"
        )
        if held is not None:
            has = (*self._table.key, *self._table.order)
            columns = ", ".join(
                (
                    quoted(column.name)
                    if column.name in has
                    else f"cast(null as {column.type}) as {quoted(column.name)}"
                )
                for column in self._table.columns
            )
            candidates += f" union all select {columns}, 0 from {held}"
        order = ", ".join(f"{quoted(name)} desc" for name in self._table.order)
        nth = (
            f"row_number() over (partition by {self._key}"
            f" order by {order}, _new desc) as _nth"
        )
        ranked = f"select {self._columns}, _new, {nth} from ({candidates}) c"
        return f"select {self._columns} from ({ranked}) r where _nth = 1 and _new = 1"

    def _settle_quarantine(
        self, fresh: NewRows, converted: ConvertedRows, judged: CheckedRows
    ) -> Optional[int]:
        """In the quarantine, replace the checked rows with the rows that are refused
        now. Return the committed version; None if nothing was committed.
        """
        engine, quarantine = self._engine, self._quarantine
        held = engine.rows(quarantine)
        if held and not fresh.whole:
            held = self._count_joined(fresh.view, QUARANTINED, ROW)
        if not converted.misfits and not judged.refused and not held:
            return None
        columns = listed((c.name for c in self._follows.columns), "f.")
        on = same(ROW, "j", "f")
        rows = (
            f"select {self._bronze}, _rule from {converted.checked}"
            " where _rule is not null"
            f" union all select {columns}, j._rule from {fresh.view} f"
            f" join {judged.view} j on {on} where j._rule is not null"
        )
        staged = engine.stage(quarantine, "refused", rows, part=not fresh.whole)
        engine.define("looked_at", f"select {', '.join(ROW)} from {fresh.view}")
        note = self._lineage.note(self._table)
        return self._lineage.commit(
            quarantine, staged, note, keys=None if fresh.whole else "looked_at"
        )

    def _commit(self, final: Staged, settled: Optional[int], whole: bool) -> None:
        lineage, table = self._lineage, self._table
        note = lineage.note(table, data=whole or bool(final.rows), quarantine=settled)
        if whole:
            lineage.commit(table, final, note)
        elif final.rows:
            self._engine.define("taken", f"select {self._key} from {final.view}")
            lineage.commit(table, final, note, keys="taken")
        else:
            lineage.advance(table, note)

    def _count(self, view: str, where: str = "true") -> int:
        return int(
            self._engine.query(f"select count(*) from {view} where {where}")[0][0]
        )

    def _count_joined(
        self, left: str, right: str, on: Tuple[str, ...], where: str = "true"
    ) -> int:
        """Return the number of rows of `left` whose columns `on` match a row of
        `right`.
        """
        inside = f"exists (select 1 from {right} b where {same(on, 'a', 'b')})"
        return int(
            self._engine.query(
                f"select count(*) from {left} a where {where} and {inside}"
            )[0][0]
        )
