from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any, List, Optional

import duckdb
import pytest
from deltalake import DeltaTable

from lakekit.declarations.tables import Column, Constraint, Table, TableSet
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Head, Note
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DamagedTableError,
    DeclarationError,
    MissingExtraError,
    SourceError,
    StorageError,
)
from lakekit.sources.files import OpenedFile, open_sources

AT = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
KEYED = Table(
    "gold.keyed",
    (Column("k", required=True), Column("p", required=True), Column("n", "int")),
    sql="keyed.sql",
    key=("k",),
    constraints=(Constraint("n_positive", "n IS NULL OR n > 0"),),
)
PARTED = Table(
    "gold.parted", KEYED.columns, sql="parted.sql", key=("k",), partition="p"
)


def opened(source: Path, tables: TableSet, tmp_path: Path) -> OpenedFile:
    return open_sources(source, tables, tmp_path / "scratch")["people"][0]


def head_of(engine: EmbeddedEngine, table: Table) -> Head:
    head = engine.head(table)
    assert head is not None
    return head


def rows(engine: EmbeddedEngine, table: Table) -> List[Any]:
    engine.head(table)
    engine.read(table, "all_rows")
    return sorted(engine.query("select * from all_rows"), key=repr)


def put(
    engine: EmbeddedEngine, table: Table, values: str, keys: Optional[str] = None
) -> int:
    """Commit new rows. The new rows replace the rows that have one of `keys`, or all
    rows if `keys` is None.
    """
    staged = engine.stage(
        table, "staged", f"select * from (values {values}) t(k, p, n)"
    )
    if keys is not None:
        engine.define("gone", f"select * from (values {keys}) t(k)")
    return engine.commit(
        table,
        staged,
        head_of(engine, table),
        Note("d"),
        keys="gone" if keys is not None else None,
    )


@pytest.fixture(params=[KEYED, PARTED], ids=["whole", "partitioned"])
def table(request: pytest.FixtureRequest, engine: EmbeddedEngine) -> Table:
    engine.create(request.param)
    made: Table = request.param
    return made


def test_created_table_stands_when_it_is_created_again(
    engine: EmbeddedEngine, table: Table
) -> None:
    before = head_of(engine, table)
    engine.create(table)
    assert head_of(engine, table) == before
    assert (
        before.constraints == {c.name for c in table.constraints}
        and before.partition == table.partition
    )
    assert engine.rows(table) == 0 and rows(engine, table) == []


def test_rows_of_given_keys_are_replaced(engine: EmbeddedEngine, table: Table) -> None:
    version = put(engine, table, "('a', 'x', 1), ('b', 'x y', 2), ('c', 'z/%2F', 3)")
    assert (
        put(
            engine,
            table,
            "('b', 'z/%2F', 5), ('d', 'w', 6)",
            keys="('b'), ('c'), ('d')",
        )
        == version + 1
    )
    assert rows(engine, table) == [("a", "x", 1), ("b", "z/%2F", 5), ("d", "w", 6)]
    put(engine, table, "('e', 'w', 7)", keys="('e')")  # adds a row with a new key
    assert engine.rows(table) == 4
    put(engine, table, "('f', 'w', 8)")  # replaces all rows
    assert rows(engine, table) == [("f", "w", 8)]


def test_net_changes_between_versions(engine: EmbeddedEngine, table: Table) -> None:
    put(engine, table, "('a', 'x', 1), ('b', 'x', 2)")
    since = head_of(engine, table).version
    put(engine, table, "('b', 'y', 3)", keys="('b')")
    DeltaTable(str(engine._lake.location(table))).optimize.compact()
    engine.head(table)
    assert engine.changes(table, since, "news")
    assert sorted(engine.query("select k, p, n, _sign from news")) == [
        ("b", "x", 2, -1),
        ("b", "y", 3, 1),
    ]
    DeltaTable(str(engine._lake.location(table))).vacuum(
        0, enforce_retention_duration=False, dry_run=False, full=True
    )
    engine.head(table)
    assert not engine.changes(table, since, "older")  # its files were deleted


def test_late_commit_is_a_conflict_and_leaves_no_file(
    engine: EmbeddedEngine, table: Table, tables: TableSet, tmp_path: Path
) -> None:
    stale = head_of(engine, table)
    staged = engine.stage(table, "staged", "select 'a' as k, 'x' as p, 1 as n")
    with EmbeddedEngine(engine._lake, tables, tmp_path / "scratch") as rival:
        put(rival, table, "('r', 'x', 1)")
    with pytest.raises(ConflictError, match=table.name):
        engine.commit(table, staged, stale, Note("d"))
    engine.__exit__()
    folder = Path(engine._lake.location(table))
    assert len(list(folder.rglob("*.parquet"))) == 1


def test_note_without_rows_moves_on(engine: EmbeddedEngine, table: Table) -> None:
    put(engine, table, "('a', 'x', 1)")
    before = head_of(engine, table)
    assert (
        engine.advance(table, before, Note("d", {"silver.a": ("id", 2)}, data=False))
        == before.version + 1
    )
    after = head_of(engine, table)
    assert (
        after.data_version == before.data_version
        and after.note is not None
        and after.note.reads
    )
    with pytest.raises(ConflictError):
        engine.commit(
            table,
            engine.stage(table, "s", "select 'a' as k, 'x' as p, 1 as n"),
            before,
            Note("d"),
        )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("('a', 'x', -1)", "1 rows violate the constraint n_positive"),
        ("(cast(null as varchar), 'x', 1)", "column k is required and has 1"),
    ],
)
def test_rows_that_delta_would_refuse_are_refused(
    engine: EmbeddedEngine, values: str, reason: str
) -> None:
    engine.create(KEYED)
    with pytest.raises(ComputeError, match=reason):
        put(engine, KEYED, values)
    assert head_of(engine, KEYED).note is None


def test_sql_that_is_not_as_declared_or_fails_is_told(
    engine: EmbeddedEngine, table: Table
) -> None:
    with pytest.raises(DeclarationError, match="returns the columns k"):
        engine.stage(table, "s", "select 'a' as k")
    with pytest.raises(ComputeError, match="out of range|could not be computed"):
        engine.stage(table, "s", "select 'a' as k, 'x' as p, 3000000000 as n")


def test_name_may_be_a_view_and_then_rows_that_are_kept(engine: EmbeddedEngine) -> None:
    engine.define("name", "select 1 as n")
    assert engine.keep("name", "select 2 as n union all select 3") == 2
    engine.define("name", "select 4 as n")
    assert engine.query("select n from name") == [(4,)]


def test_file_comes_in_once_with_its_origin(
    engine: EmbeddedEngine, tables: TableSet, source: Path, tmp_path: Path
) -> None:
    bronze, file = tables["bronze.people"], opened(source, tables, tmp_path)
    engine.create(bronze)
    found = engine.inspect(bronze, file, AT)
    assert (found.rows, sum(found.misfits.values())) == (3, 0)
    assert engine.append(bronze, file, Note("d")) == 1
    assert engine.ingested(bronze, [file.digest, "another"]) == {file.digest}
    engine.inspect(bronze, file, AT)
    assert engine.append(bronze, file, Note("d")) is None
    first = rows(engine, bronze)[0]
    assert first == (
        "Ada",
        "36",
        "2013-01-01T10:00:00Z",
        "60.5",
        "people.csv",
        file.digest,
        1,
        AT,
    )
    assert engine.notes(bronze, 0) == [Note("d")]


def test_malformed_line_is_named(
    engine: EmbeddedEngine, tables: TableSet, source: Path, tmp_path: Path
) -> None:
    (source / "people.csv").write_text("name,age,seen,weight\nAda,36,NA,NA\nBob,1,NA\n")
    with pytest.raises(SourceError, match="people.csv, line 3"):
        engine.inspect(tables["bronze.people"], opened(source, tables, tmp_path), AT)


def test_data_file_that_goes_while_the_engine_is_open_is_damage(
    engine: EmbeddedEngine, table: Table
) -> None:
    put(engine, table, "('a', 'x', 1)")
    engine.head(table)
    (file,) = Path(engine._lake.location(table)).rglob("part-*.parquet")
    file.unlink()
    with pytest.raises(
        DamagedTableError, match=f"{table.name} is damaged: .*{file.name} is missing"
    ):
        engine.read(table, "gone")


def test_folder_whose_name_looks_like_a_column_is_none(
    engine: EmbeddedEngine, tables: TableSet, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "name=Eve" / "age=1"
    folder.mkdir(parents=True)
    (source / "people.csv").rename(folder / "people.csv")
    bronze, file = tables["bronze.people"], opened(folder, tables, tmp_path)
    engine.create(bronze)
    engine.inspect(bronze, file, AT)
    engine.append(bronze, file, Note("d"))
    assert [row[:2] for row in rows(engine, bronze)] == [
        ("Ada", "36"),
        ("Bob", "NA"),
        ("Cy", "36"),
    ]


def test_columns_and_constraints_come_and_go(engine: EmbeddedEngine) -> None:
    engine.create(KEYED)
    engine.add_columns(KEYED, [Column("more", "timestamp", comment="Later")])
    assert head_of(engine, KEYED).columns[-1] == Column(
        "more", "timestamp", comment="Later"
    )
    engine.drop_constraint(KEYED, "n_positive")
    assert head_of(engine, KEYED).constraints == frozenset()
    with pytest.raises(StorageError, match="gold/keyed"):
        engine.drop_constraint(KEYED, "n_positive")


def test_small_files_are_compacted_once_and_old_ones_vacuumed(
    engine: EmbeddedEngine, table: Table
) -> None:
    assert engine.optimize(table) == {"files_removed": 0, "files_added": 0}
    put(engine, table, "('a', 'x', 1)")
    put(engine, table, "('b', 'x', 2)", keys="('b')")
    assert engine.optimize(table) == {"files_removed": 2, "files_added": 1}
    version = head_of(engine, table).version
    assert (
        engine.optimize(table)["files_removed"] == 0
        and head_of(engine, table).version == version
    )
    assert engine.vacuum(table, 168, dry_run=True) == []
    with pytest.raises(StorageError):
        engine.vacuum(table, 0, dry_run=True)  # the minimum is 7 days


def test_interrupt_while_duckdb_computes_is_an_interrupt(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection:
        def __init__(self, said: str) -> None:
            self._said = said

        def execute(self, _: str) -> None:
            raise RuntimeError(self._said)

    with monkeypatch.context() as patched:
        patched.setattr(engine._staging, "duckdb", Connection("Query interrupted"))
        with pytest.raises(KeyboardInterrupt):
            engine.query("select 1")
        patched.setattr(engine._staging, "duckdb", Connection("else"))
        with pytest.raises(RuntimeError, match="else"):
            engine.query("select 1")


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "lakekit.engines.duckdb.engine")
    with pytest.raises(MissingExtraError, match="duckdb"):
        import lakekit.engines.duckdb.engine  # noqa: F401  # under test
    assert duckdb.__name__ == "duckdb"


def test_empty_partition_is_refused_for_delta_takes_it_for_a_null(
    engine: EmbeddedEngine,
) -> None:
    engine.create(PARTED)
    for keys in (None, "('a')"):
        with pytest.raises(
            ComputeError, match="partition column p has 1 empty strings"
        ):
            put(engine, PARTED, "('a', '', 1)", keys)


def test_no_row_at_all_can_be_staged_and_committed(
    engine: EmbeddedEngine, table: Table
) -> None:
    put(engine, table, "('a', 'x', 1)")
    staged = engine.stage(
        table, "none", "select 'a' as k, 'x' as p, 1 as n where false"
    )
    assert staged.rows == 0 and engine.query("select * from none") == []
    engine.commit(table, staged, head_of(engine, table), Note("d"))
    assert rows(engine, table) == []


def test_partition_that_loses_its_last_row_has_no_file(engine: EmbeddedEngine) -> None:
    engine.create(PARTED)
    put(engine, PARTED, "('a', 'x', 1), ('b', 'y', 2)")
    staged = engine.stage(
        PARTED, "none", "select 'a' as k, 'x' as p, 1 as n where false", part=True
    )
    engine.define("gone", "select 'a' as k")
    engine.commit(PARTED, staged, head_of(engine, PARTED), Note("d"), keys="gone")
    assert rows(engine, PARTED) == [("b", "y", 2)]
    files = DeltaTable(str(engine._lake.location(PARTED))).file_uris()
    assert len(files) == 1 and "p=y" in files[0]
    engine.__exit__()
    assert (
        len(list(Path(engine._lake.location(PARTED), "p=x").glob("*.parquet"))) == 1
    )  # of the previous version


def test_net_change_is_that_of_the_files(
    engine: EmbeddedEngine, table: Table, tables: TableSet, tmp_path: Path
) -> None:
    """A run that has committed a change knows the net change of its commit. A later run
    must compute the same net change from the data files.
    """
    readers = tuple(
        Table(
            f"gold.of_{each}",
            KEYED.columns,
            (table.name,),
            "of.sql",
            key=("k",),
            update="groups",
        )
        for each in "ab"
    )
    engine._declared = TableSet(
        (Table(table.name, table.columns, sql="x.sql", key=("k",)), *readers),
        tables.sql,
    )
    put(engine, table, "('a', 'x', 1), ('b', 'x', 2), ('c', 'y', 3)")
    since = head_of(engine, table).version
    staged = engine.stage(
        table,
        "s",
        "select * from (values ('a', 'x', 1), ('b', 'y', 4)) t(k, p, n)",
        part=True,
    )
    engine.define("gone", "select * from (values ('a'), ('b'), ('c')) t(k)")
    engine.commit(table, staged, head_of(engine, table), Note("d"), keys="gone")
    meant = [("b", "x", 2, -1), ("b", "y", 4, 1), ("c", "y", 3, -1)]
    assert engine._nets
    with EmbeddedEngine(engine._lake, tables, tmp_path / "scratch") as other:
        for each in (engine, other):
            assert each.changes(table, since, "news")
            assert sorted(each.query("select k, p, n, _sign from news")) == meant


def test_partition_that_is_null_is_refused(engine: EmbeddedEngine) -> None:
    engine.create(PARTED)
    with pytest.raises(ComputeError, match="column p is required and has 1 nulls"):
        put(engine, PARTED, "('a', cast(null as varchar), 1)")
