"""How a silver or gold table follows what it reads: merged by key, recomputed by group, or recomputed whole.

All of it is SQL that both engines take as it stands. What a table has seen stands in the note of its newest commit: the
version of each table read, up to which its rows are in. A note may be older than what was really read, never newer, so
a run that died or met another is made good by the next: every update is the same again when it is done twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from lakekit.engine import Engine, Head, Note, Staged
from lakekit.errors import ComputeError, DeclarationError, ExpectationFailed
from lakekit.tables import Table, TableSet

ROW = ("_source_sha256", "_source_row")


@dataclass(frozen=True)
class Counts:
    """What an update did, in rows; `expectations` has how many rows did not meet each, of those looked at.

    Every row read is inserted, updated (replaces the older row of its key), superseded (by a later row of its key) or
    quarantined.
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
    """An update that was committed, or had nothing to commit. `why` says what made the whole table anew."""

    mode: str
    counts: Counts = Counts()
    why: str = ""


def digest(tables: TableSet, table: Table) -> str:
    """What the rows of a table are made by; with another digest the table is made anew."""
    said = ["lakekit 2", table.canonical(), tables.query(table)]
    if table.update == "merge":
        said.append(
            tables[table.reads[0]].canonical()
        )  # its types and its missing mark say which values convert
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def misfit_rule(engine: Engine, source: Table) -> str:
    """SQL for the first column of a bronze row that does not convert, as `type: COLUMN`; null where all do."""
    assert source.source is not None
    whens = [
        f"when {engine.misfit(column, source.source)} then 'type: {column.name}'"
        for column in source.source.columns
    ]
    return f"case {' '.join(whens)} end"


def unmet(engine: Engine, table: Table, sql: str) -> str:
    """SQL that is true of a row that does not meet a predicate; a null result counts as unmet."""
    return f"not coalesce({engine.predicate(table.name, sql)}, false)"


def refusal_rule(engine: Engine, table: Table) -> str:
    """SQL for the first rule by which a merged table refuses a row; null where it takes it."""
    whens = [f"when {c.name} is null then 'required: {c.name}'" for c in table.columns if c.required]
    for each in table.expectations:
        if each.severity == "drop":
            rule = each.name.replace("'", "''")
            whens.append(f"when {unmet(engine, table, each.sql)} then '{rule}'")
    return f"case {' '.join(whens)} end"


class Updates:
    """The updates of one run. `heads` has each table as it was last seen, and is renewed by `refresh`."""

    def __init__(self, engine: Engine, tables: TableSet) -> None:
        self._engine, self._tables = engine, tables
        self.heads: Dict[str, Head] = {}

    def refresh(self, *names: str) -> None:
        """Look at tables again."""
        for name in names:
            head = self._engine.head(self._tables[name])
            assert head is not None, name
            self.heads[name] = head

    def update(self, table: Table, rebuild: bool = False) -> Updated:
        """Bring one table up to date with what it reads, in one commit (and one for its quarantine), or none.

        Raises ConflictError when another writer was first, ComputeError, DeclarationError, SqlRefused,
        ExpectationFailed.
        """
        why = "its declaration asks for it" if rebuild else self._made_otherwise(table)
        moved = [name for name in followed(table) if self._moved(table, name)]
        if not why and not moved:
            return Updated("unchanged")
        if table.update == "merge":
            return _Merge(self, table).run(why, moved)
        if table.update == "groups" and not why:
            found = self._groups(table, moved)
            if isinstance(found, Updated):
                return found
            why = found
        return self._whole(table, why)

    def note(self, table: Table, data: bool = True, quarantine: Optional[int] = None) -> Note:
        """What a commit made now says of itself; `quarantine` is the version that this update has made of it."""
        heads = {name: self.heads[name] for name in followed(table)}
        reads = {name: (head.id, head.data_version) for name, head in heads.items()}
        if quarantine is not None:
            reads[table.quarantine] = (heads[table.quarantine].id, quarantine)
        return Note(digest(self._tables, table), reads, data)

    def since(self, table: Table, read: str) -> int:
        """The version of a table read up to which its rows are in."""
        note = self.heads[table.name].note
        assert note is not None, table.name
        return note.reads[read][1]

    def _made_otherwise(self, table: Table) -> str:
        """Why all rows are to be made anew; empty when only what is new has to be looked at."""
        head = self.heads[table.name]
        if head.note is None:
            return "new"
        if head.note.digest != digest(self._tables, table):
            return "its declaration or its SQL changed"
        if head.foreign and table.update != "merge":
            return "another writer changed it"
        for name in followed(table):
            if name not in head.note.reads or head.note.reads[name][0] != self.heads[name].id:
                return f"{name} is another table than before"
            if head.note.reads[name][1] > self.heads[name].data_version:
                return f"{name} was set back to an older version"
        return ""

    def _moved(self, table: Table, read: str) -> bool:
        note = self.heads[table.name].note
        seen = None if note is None else note.reads.get(read)
        return seen is None or seen[1] != self.heads[read].data_version

    def _whole(self, table: Table, why: str) -> Updated:
        engine = self._engine
        views = {}
        for name in table.reads:
            views[name] = view_of(name)
            engine.read(self._tables[name], views[name])
        staged = self._stage(table, views)
        counts = Counts(inserted=staged.rows, groups=staged.rows, expectations=self.judge(table, staged))
        engine.commit(table, staged, self.heads[table.name], self.note(table))
        return Updated("whole", counts, why or "it ranks all rows")

    def _groups(self, table: Table, moved: Sequence[str]) -> Union[Updated, str]:
        """The update of the groups that changed rows touch; or, as text, why the whole table has to be made."""
        engine, key = self._engine, ", ".join(table.key)
        parts = []
        for index, name in enumerate(moved):
            if not engine.changes(self._tables[name], self.since(table, name), f"changed_{index}"):
                return f"the history of {name} does not reach back"
            parts.append(f"select {key} from changed_{index}")
        affected = engine.keep("affected", f"select distinct {key} from ({' union all '.join(parts)}) t")
        if not affected:
            engine.advance(table, self.heads[table.name], self.note(table, data=False))
            return Updated("noted")
        views = {}
        for name in table.reads:
            engine.read(self._tables[name], view_of(name))
            views[name] = f"{view_of(name)}_affected"
            columns = ", ".join(f"r.{column.name}" for column in self._tables[name].columns)
            same = " and ".join(f"a.{name} = r.{name}" for name in table.key)
            engine.define(views[name], f"select {columns} from {view_of(name)} r join affected a on {same}")
        staged = self._stage(table, views)
        same = " and ".join(f"a.{name} = s.{name}" for name in table.key)
        outside = f"select 1 from {staged.view} s where not exists (select 1 from affected a where {same})"
        if engine.query(f"select count(*) from ({outside}) t")[0][0]:
            raise DeclarationError(
                table.name, f"its groups are not the values of {key} in {', '.join(table.reads)}"
            )
        counts = Counts(groups=affected, inserted=staged.rows, expectations=self.judge(table, staged))
        engine.commit(table, staged, self.heads[table.name], self.note(table), keys="affected")
        return Updated("groups", counts)

    def _stage(self, table: Table, views: Mapping[str, str]) -> Staged:
        """The rows that the table's SQL makes of those views, one for each key."""
        engine = self._engine
        sql = engine.transform(table, self._tables.query(table), views)
        staged = engine.stage(table, f"staged_{view_of(table.name)}", sql)
        if table.key and doubled(engine, staged.view, table.key):
            raise ComputeError(
                table.name, f"its SQL gives more than one row for a key ({', '.join(table.key)})"
            )
        return staged

    def judge(self, table: Table, staged: Staged) -> Dict[str, int]:
        """How many rows do not meet each expectation. Raises ExpectationFailed for one that has to be met."""
        if not table.expectations:
            return {}
        each = [
            f"sum(case when {unmet(self._engine, table, e.sql)} then 1 else 0 end)"
            for e in table.expectations
        ]
        found = self._engine.query(f"select {', '.join(each)} from {staged.view}")[0]
        counts = {e.name: int(n or 0) for e, n in zip(table.expectations, found)}
        for expectation in table.expectations:
            if expectation.severity == "fail" and counts[expectation.name]:
                raise ExpectationFailed(table.name, expectation.name, counts[expectation.name])
        return counts


class _Merge:
    """One merge: the bronze rows that are new, or that changed tables beside them touch, by key into a silver table."""

    def __init__(self, updates: Updates, table: Table) -> None:
        self._updates, self._table = updates, table
        self._engine, self._tables = updates._engine, updates._tables
        self._follows = self._tables[table.reads[0]]
        self._quarantine = self._tables[table.quarantine]
        self._key = ", ".join(table.key)
        self._columns = ", ".join(column.name for column in table.columns)
        self._bronze = ", ".join(column.name for column in self._follows.columns)
        self._again = 0

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
        sql = engine.transform(table, self._tables.query(table), {**views, self._follows.name: "good"})
        staged = engine.stage(table, "typed", sql)
        read = self._count("fresh")
        if read != staged.rows + misfits:
            what = f"its SQL makes {staged.rows:,} rows of {read - misfits:,}; a merged table's makes one of each"
            raise DeclarationError(table.name, f"{what}, and what is not wanted is dropped by an expectation")
        expectations = self._updates.judge(table, staged)
        columns = f"{self._columns}, {refusal_rule(engine, table)} as _rule"
        engine.define("judged", f"select {columns} from {staged.view}")
        refused = self._count("judged", "_rule is not null")
        if refused and not why and self._count_joined("judged", "present", ROW, "a._rule is not null"):
            # An older row of the same key may have to come back: only all rows can tell.
            return self.run("a row that was in is refused now", moved)
        final = staged
        if refused or not why or doubled(engine, staged.view, table.key):
            final = engine.stage(table, "winners", self._winners(among_present=not why))
            inserted = final.rows if why else final.rows - self._count_joined("winners", "present", table.key)
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
            if not engine.changes(self._tables[name], self._updates.since(table, name), view):
                return f"the history of {name} does not reach back"
            if name == self._follows.name:
                if self._count(view, "_sign < 0"):
                    return f"rows were removed from {name}"
                parts.append(f"select {self._bronze} from {view}")
                continue
            if not self._count(view):
                continue
            if name == self._quarantine.name:
                # A run that died, or met another writer, took these out or put them in, and no more.
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
                    f"select {rows} from present p join (select distinct {there} from {view}) n on {same}"
                )
        if again:
            # What was refused may be taken, now that other rows are found beside it.
            again.append(f"select {', '.join(ROW)} from quarantined")
            self._again = engine.keep("again", f"select distinct * from ({' union all '.join(again)}) t")
        if self._again:
            columns = ", ".join(f"f.{column.name}" for column in self._follows.columns)
            same = " and ".join(f"a.{column} = f.{column}" for column in ROW)
            parts.append(f"select {columns} from followed f join again a on {same}")
        if not parts:
            parts = [f"select {self._bronze} from followed where false"]
        engine.keep("fresh", " union ".join(parts))
        return ""

    def _check_types(self, whole: bool) -> int:
        """Define `good`: the fresh rows whose values all convert. The number of the others."""
        engine = self._engine
        since = -1 if whole else self._updates.since(self._table, self._follows.name)
        notes = engine.notes(self._follows, since)
        declared = digest(self._tables, self._follows)
        known = all(note is not None and note.digest == declared and not note.misfits for note in notes)
        if known and not self._again:
            engine.define(
                "checked", f"select {self._bronze}, cast(null as string) as _rule from fresh where false"
            )
            engine.define("good", f"select {self._bronze} from fresh")
            return 0
        rule = misfit_rule(engine, self._follows)
        engine.define("checked", f"select {self._bronze}, {rule} as _rule from fresh")
        engine.define("good", f"select {self._bronze} from checked where _rule is null")
        return self._count("checked", "_rule is not null")

    def _winners(self, among_present: bool) -> str:
        """The latest row of each key, of those taken now; among those present already where asked."""
        candidates = f"select {self._columns}, 1 as _new from judged where _rule is null"
        if among_present:
            columns = ", ".join(f"p.{column.name}" for column in self._table.columns)
            same = " and ".join(f"k.{name} = p.{name}" for name in self._table.key)
            keys = f"select distinct {self._key} from judged where _rule is null"
            candidates += f" union all select {columns}, 0 from present p join ({keys}) k on {same}"
        order = ", ".join(f"{name} desc" for name in self._table.order)
        nth = f"row_number() over (partition by {self._key} order by {order}, _new desc) as _nth"
        ranked = f"select {self._columns}, _new, {nth} from ({candidates}) c"
        return f"select {self._columns} from ({ranked}) r where _nth = 1 and _new = 1"

    def _settle_quarantine(self, misfits: int, refused: int, whole: bool) -> Optional[int]:
        """Put the rows refused now in the place of what the quarantine held of the rows looked at; the version made."""
        engine, quarantine = self._engine, self._quarantine
        held = engine.rows(quarantine) if whole else self._count_joined("fresh", "quarantined", ROW)
        if not misfits and not refused and not held:
            return None
        columns = ", ".join(f"f.{column.name}" for column in self._follows.columns)
        same = " and ".join(f"j.{column} = f.{column}" for column in ROW)
        rows = f"select {self._bronze}, _rule from checked where _rule is not null"
        rows += f" union all select {columns}, j._rule from fresh f join judged j on {same} where j._rule is not null"
        staged = engine.stage(quarantine, "refused", rows)
        engine.define("looked_at", f"select {', '.join(ROW)} from fresh")
        note, head = self._updates.note(self._table), self._updates.heads[quarantine.name]
        return engine.commit(quarantine, staged, head, note, keys=None if whole else "looked_at")

    def _commit(self, final: Staged, settled: Optional[int], whole: bool) -> None:
        engine, table = self._engine, self._table
        head, note = self._updates.heads[table.name], self._updates.note(table, quarantine=settled)
        if whole:
            engine.commit(table, final, head, note)
        elif final.rows:
            engine.define("taken", f"select {self._key} from {final.view}")
            engine.commit(table, final, head, note, keys="taken")
        else:
            engine.advance(table, head, self._updates.note(table, data=False, quarantine=settled))

    def _count(self, view: str, where: str = "true") -> int:
        return int(self._engine.query(f"select count(*) from {view} where {where}")[0][0])

    def _count_joined(self, left: str, right: str, on: Tuple[str, ...], where: str = "true") -> int:
        """Rows of the left whose key is on the right."""
        same = " and ".join(f"a.{name} = b.{name}" for name in on)
        inside = f"exists (select 1 from {right} b where {same})"
        return int(self._engine.query(f"select count(*) from {left} a where {where} and {inside}")[0][0])


def followed(table: Table) -> Tuple[str, ...]:
    """The tables whose versions a table's note has: those it reads, and its quarantine. A run that dies between its two
    commits has taken rows out of the quarantine that are nowhere else yet; by that version the next one finds them.
    """
    return (*table.reads, table.quarantine) if table.quarantine else table.reads


def view_of(name: str) -> str:
    """The view that a table is read by."""
    return "v_" + name.replace(".", "_")


def doubled(engine: Engine, view: str, key: Sequence[str]) -> bool:
    """Whether two rows have the same key."""
    keys = ", ".join(key)
    twice = f"select {keys} from {view} group by {keys} having count(*) > 1"
    return bool(engine.query(f"select count(*) from ({twice}) t")[0][0])
