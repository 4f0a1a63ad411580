"""Tests that both engines behave in the same way, and that each engine reads the tables
that the other engine writes. Only the `Engine` protocol is used.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lakekit.commands.damage import undamaged_head
from lakekit.declarations.tables import (
    Column,
    Constraint,
    Source,
    Table,
    TableSet,
    bronze,
)
from lakekit.engines.duckdb.engine import EmbeddedEngine
from lakekit.engines.engine import Engine, Head, Note
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DamagedTableError,
    DeclarationError,
    InvalidLakeError,
    StorageError,
    UnsupportedSqlError,
)
from lakekit.sources.files import OpenedFile, open_sources
from lakekit.storage.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.long

Rows = List[Tuple[Any, ...]]
Open = Callable[[str], AbstractContextManager[Engine]]
UTC = datetime.timezone.utc
AT = datetime.datetime(2026, 1, 31, 12, 30, 0, 123456, tzinfo=UTC)
JANUARY, FEBRUARY = datetime.date(2013, 1, 1), datetime.date(2013, 2, 1)

READINGS = Source(
    "readings",
    (
        Column("id", "int", required=True),
        Column("seen", "timestamp", required=True),
        Column("value", "double"),
        Column("word"),
    ),
)
BRONZE = bronze(READINGS)
ITEMS = Table(
    "silver.items",
    (
        Column("id", "int", required=True, comment="What it's \\ known by"),
        Column("month", "date", required=True),
        Column("value", "double"),
        Column("word"),
    ),
    reads=("bronze.readings",),
    sql="items.sql",
    comment="Items",
    key=("id",),
    partition="month",
    constraints=(Constraint("value_positive", "value IS NULL OR value > 0"),),
)
PLAIN = Table("gold.plain", ITEMS.columns, ("silver.items",), "plain.sql", key=("id",))
NOTE = Note("d")
FIRST = [(1, JANUARY, 1.5, "one"), (2, JANUARY, None, "two"), (3, FEBRUARY, 3.0, None)]
HEADER = "id,seen,value,word"
CSV = f"{HEADER}\n1,2013-11-03T05:30:00Z,1.50,one\n2,2013-11-03T06:30:00Z,NA,\n"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake in a folder whose name has characters that must be quoted."""
    return Lake("folder", str(tmp_path / "a lake's é"))


def opened(
    name: str, lake: Lake, folder: Path, spark: Optional[SparkSession] = None
) -> AbstractContextManager[Engine]:
    """Open an engine by name. The temporary files of the engine are in `folder`."""
    tables = TableSet((BRONZE, ITEMS, PLAIN), folder)
    (folder / "scratch").mkdir(exist_ok=True)
    if name == "spark":
        from lakekit.engines.spark.engine import SparkEngine

        return SparkEngine(lake, tables, folder / "scratch", spark)
    return EmbeddedEngine(lake, tables, folder / "scratch")


@pytest.fixture
def open_engine(lake: Lake, tmp_path: Path, spark: SparkSession) -> Open:
    """Return a function that opens an engine by name. All engines use the same lake."""
    return lambda name: opened(name, lake, tmp_path, spark)


@pytest.fixture(params=["embedded", pytest.param("spark", marks=pytest.mark.jvm)])
def engine(request: pytest.FixtureRequest, lake: Lake, tmp_path: Path) -> Any:
    # Tests of the embedded engine must not start a JVM.
    session = request.getfixturevalue("spark") if request.param == "spark" else None
    with opened(request.param, lake, tmp_path, session) as made:
        yield made


@pytest.fixture(
    params=[("embedded", "spark"), ("spark", "embedded")], ids="-then-".join
)
def pair(request: pytest.FixtureRequest, open_engine: Open) -> Any:
    one, other = request.param
    with open_engine(one) as first, open_engine(other) as second:
        yield first, second


def source_file(folder: Path, content: Any, name: str = "readings.csv") -> OpenedFile:
    """Create a source folder with one file, and open the file."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tables = TableSet((BRONZE,), folder)
    return open_sources(folder, tables, folder)["readings"][0]


def values(
    rows: Sequence[Tuple[Any, ...]], columns: Sequence[Column] = ITEMS.columns
) -> str:
    """Return SQL that selects these rows and is valid in both engines."""

    def literal(value: Any, kind: str) -> str:
        if value is None:
            return f"cast(null as {kind})"
        return f"cast('{value}' as {kind})"

    selects = [
        "select "
        + ", ".join(f"{literal(v, c.type)} as {c.name}" for v, c in zip(row, columns))
        for row in rows
    ]
    if not selects:
        return values([(None,) * len(columns)], columns) + " where false"
    return " union all ".join(selects)


def seen(
    engine: Engine,
    table: Table = ITEMS,
    columns: str = "id, month, value, word",
    order: str = "id",
) -> Rows:
    """Read the rows of the newest committed version of a table."""
    engine.head(table)
    view = f"seen_{len(table.columns)}"
    engine.read(table, view)
    return engine.query(f"select {columns} from {view} order by {order}")


def head_of(engine: Engine, table: Table) -> Head:
    head = engine.head(table)
    assert head is not None
    return head


def put(
    engine: Engine,
    rows: Sequence[Tuple[Any, ...]],
    keys: Optional[Sequence[int]] = None,
    table: Table = ITEMS,
    note: Note = NOTE,
) -> int:
    """Stage rows and commit them. If `keys` is given, the new rows replace the rows
    that have these keys. Otherwise, the new rows replace all old rows.
    """
    staged = engine.stage(table, "put", values(rows, table.columns))
    assert staged.rows == len(rows)
    if keys is None:
        return engine.commit(table, staged, head_of(engine, table), note)
    engine.define("put_keys", " union all ".join(f"select {key} as id" for key in keys))
    return engine.commit(table, staged, head_of(engine, table), note, keys="put_keys")


def net(engine: Engine, since: int, table: Table = ITEMS) -> Rows:
    engine.head(table)
    assert engine.changes(table, since, "changed")
    return engine.query(
        "select id, month, value, word, sum(_sign) from changed "
        "group by id, month, value, word order by id, 5"
    )


def test_created_table_is_as_declared(engine: Engine, lake: Lake) -> None:
    folder = Path(lake.location(ITEMS))
    folder.mkdir(parents=True)
    (folder / "part-left-by-a-killed-run.parquet").touch()
    assert engine.head(ITEMS) is None
    engine.create(ITEMS)
    head = head_of(engine, ITEMS)
    engine.create(ITEMS)
    assert engine.head(ITEMS) == head
    assert head.columns == ITEMS.columns
    assert (head.partition, head.constraints) == (
        "month",
        frozenset({"value_positive"}),
    )
    # Spark creates the table with its constraint in one commit, delta-rs in two.
    made = 0 if engine.name == "spark" else 1
    assert (head.version, head.note, engine.rows(ITEMS)) == (made, None, 0)
    assert seen(engine) == []


def test_content_is_replaced_whole_or_by_key(engine: Engine) -> None:
    engine.create(ITEMS)
    note = Note("digest", {"bronze.readings": ("an id", 4)})
    made = put(engine, FIRST, note=note)
    head = head_of(engine, ITEMS)
    assert (head.version, head.data_version, head.note, head.foreign) == (
        made,
        made,
        note,
        False,
    )
    assert seen(engine) == FIRST and engine.rows(ITEMS) == 3
    # Row 1 moves to a new partition, row 2 is deleted, and row 4 is inserted. Row 3
    # does not change, because its key is not in `keys`.
    put(
        engine,
        [(1, FEBRUARY, 1.5, "moved"), (4, FEBRUARY, 4.0, "four")],
        keys=[1, 2, 4, 99],
    )
    after = [(1, FEBRUARY, 1.5, "moved"), FIRST[2], (4, FEBRUARY, 4.0, "four")]
    assert seen(engine) == after
    assert net(engine, made) == [
        (*FIRST[0], -1),
        (*after[0], 1),
        (*FIRST[1], -1),
        (*after[2], 1),
    ]
    # Writing the same rows again, by key or as a whole table, is not a change.
    same = put(engine, after[:1], keys=[1])
    put(engine, after)
    assert (
        net(engine, made - 1) == [(*row, 1) for row in after]
        and net(engine, same - 1) == []
    )
    newest = head_of(engine, ITEMS).version
    assert net(engine, newest) == []
    assert [each is not None for each in engine.notes(ITEMS, made)] == [True] * 3
    put(engine, [], keys=[3])
    put(engine, [(7, JANUARY, 7.0, "seven"), (8, JANUARY, None, None)], keys=[7, 8])
    assert [row[0] for row in seen(engine)] == [1, 4, 7, 8]
    assert [(row[0], row[4]) for row in net(engine, newest)] == [
        (3, -1),
        (7, 1),
        (8, 1),
    ]
    put(engine, [])
    assert seen(engine) == []


def test_advance_moves_the_note_and_no_row(engine: Engine) -> None:
    engine.create(ITEMS)
    put(engine, FIRST)
    before = head_of(engine, ITEMS)
    note = Note("d", {"bronze.readings": ("an id", 7)}, data=False)
    assert engine.advance(ITEMS, before, note) == before.version + 1
    head = head_of(engine, ITEMS)
    assert (head.version, head.data_version, head.note) == (
        before.version + 1,
        before.version,
        note,
    )
    assert seen(engine) == FIRST and net(engine, before.version) == []
    assert engine.advance(ITEMS, head, note) == before.version + 2
    assert head_of(engine, ITEMS).data_version == before.version


def test_table_that_moved_on_is_left_alone(engine: Engine) -> None:
    engine.create(ITEMS)
    old = head_of(engine, ITEMS)
    put(engine, FIRST)
    staged = engine.stage(ITEMS, "late", values(FIRST[:1]))
    engine.define("late_keys", "select 1 as id")
    for keys in (None, "late_keys"):
        with pytest.raises(
            ConflictError, match="silver.items was changed by another writer"
        ):
            engine.commit(ITEMS, staged, old, Note(), keys=keys)
    with pytest.raises(ConflictError):
        engine.advance(ITEMS, old, Note(data=False))
    assert seen(engine) == FIRST and head_of(engine, ITEMS).version == old.version + 1


@pytest.mark.parametrize("keys", [None, [1]], ids=["whole", "keys"])
@pytest.mark.parametrize(
    ("row", "named"),
    [((5, None, 1.0, "x"), "month"), ((5, JANUARY, -1.0, "x"), "value_positive")],
    ids=["null", "check"],
)
def test_row_that_breaks_a_promise_is_refused(
    row: Any, named: str, keys: Any, engine: Engine
) -> None:
    table = replace(ITEMS, partition="")
    engine.create(table)
    put(engine, FIRST, table=table)
    before = head_of(engine, table)
    with pytest.raises(
        ComputeError, match=f"silver.items could not be computed: .*{named}"
    ):
        put(engine, [row], keys=keys, table=table)
    assert engine.head(table) == before and seen(engine, table) == FIRST


def test_stage_holds_sql_to_the_declaration(engine: Engine) -> None:
    wide = (
        "select cast(1 as bigint) as id, date '2013-01-01' as month, "
        "cast(1 as double) as value, 'x' as word"
    )
    assert engine.stage(ITEMS, "widened", wide).rows == 1
    assert engine.query("select id, month, value, word from widened") == [
        (1, JANUARY, 1.0, "x")
    ]
    for wrong, said in (
        (wide.replace("'x' as word", "1 as word"), "column word is "),
        (
            wide.replace("'x' as word", "'x' as words"),
            "id, month, value, words; declared: id, month, value, word",
        ),
        (
            wide.replace("cast(1 as double)", "1"),
            "column value is .* double in the declaration",
        ),
    ):
        with pytest.raises(DeclarationError, match=said):
            engine.stage(ITEMS, "wrong", wrong)
    with pytest.raises(ComputeError, match="silver.items"):
        engine.stage(
            ITEMS,
            "large",
            wide.replace("cast(1 as bigint)", "cast(2147483648 as bigint)"),
        )
    with pytest.raises(ComputeError, match="silver.items.*nowhere"):
        engine.stage(ITEMS, "unknown", "select * from nowhere")


def test_shape_follows_the_declaration(engine: Engine) -> None:
    plain = PLAIN
    engine.create(plain)
    put(engine, FIRST, table=plain)
    more = replace(plain, columns=(*plain.columns, Column("more", comment="New")))
    engine.add_columns(plain, [Column("more", comment="New")])
    assert head_of(engine, more).columns == more.columns
    assert seen(engine, more, "id, more") == [(1, None), (2, None), (3, None)]
    engine.add_constraint(more, "small", "id < 10")
    with pytest.raises(ComputeError, match="small"):
        put(
            engine,
            [(11, JANUARY, 1.0, "x", "y")],
            table=replace(more, constraints=(Constraint("small", "id < 10"),)),
        )
    engine.drop_constraint(more, "small")
    assert head_of(engine, more).constraints == frozenset()
    # Rebuild the table with a changed type and without some columns.
    other = (
        Column("id", "bigint", required=True, comment="Wide"),
        Column("month", "date", required=True),
    )
    remade = replace(plain, columns=other, constraints=(Constraint("large", "id > 0"),))
    with pytest.raises(ComputeError, match="id"):
        put(engine, [(None, JANUARY)], table=remade)
    assert seen(engine, more, "id") == [(1,), (2,), (3,)]
    version = put(engine, [(2**40, JANUARY)], table=remade)
    head = head_of(engine, remade)
    assert (head.version, head.columns) == (version, other)
    assert seen(engine, remade, "id, month") == [(2**40, JANUARY)]


def test_constraint_that_rows_break_is_refused(engine: Engine) -> None:
    engine.create(PLAIN)
    put(engine, FIRST, table=PLAIN)
    before = engine.head(PLAIN)
    with pytest.raises((ComputeError, StorageError), match="gold.plain"):
        engine.add_constraint(PLAIN, "tiny", "id < 3")
    assert engine.head(PLAIN) == before


def test_history_that_is_gone_is_said(engine: Engine, lake: Lake) -> None:
    engine.create(PLAIN)
    first = put(engine, FIRST, table=PLAIN)
    before = set(Path(lake.location(PLAIN)).glob("*.parquet"))
    put(engine, FIRST[:1], table=PLAIN)
    for file in before:
        file.unlink()
    engine.head(PLAIN)
    assert not engine.changes(PLAIN, first, "changed")
    assert seen(engine, PLAIN) == FIRST[:1]


def test_small_files_are_compacted_once_and_kept_for_a_week(engine: Engine) -> None:
    engine.create(PLAIN)
    put(engine, FIRST[:1], keys=[1], table=PLAIN)
    put(engine, FIRST[1:2], keys=[2], table=PLAIN)
    before = head_of(engine, PLAIN)
    done = engine.optimize(PLAIN)
    compacted = head_of(engine, PLAIN)
    if done["files_removed"]:
        assert (compacted.version, compacted.data_version) == (
            before.version + 1,
            before.version,
        )
        assert done == {"files_removed": 2, "files_added": 1}
    assert engine.optimize(PLAIN) == {"files_removed": 0, "files_added": 0}
    assert head_of(engine, PLAIN) == compacted and compacted.note == before.note
    assert seen(engine, PLAIN) == FIRST[:2]
    assert engine.vacuum(PLAIN, 168, dry_run=True) == []
    with pytest.raises(StorageError, match="retention"):
        engine.vacuum(PLAIN, 1, dry_run=True)


BRONZE_COLUMNS = "id, seen, value, word, _source_file, _source_row, _ingested_at"


def test_file_is_appended_once_as_it_stands(engine: Engine, tmp_path: Path) -> None:
    text = f'\ufeff{HEADER},Extra\n1,x,"a ""b"", c","two\nlines",\n2,, NA ,NULL,\\N\n'
    opened = source_file(tmp_path / "in", text)
    engine.create(BRONZE)
    engine.add_columns(BRONZE, [Column("extra")])
    inspected = engine.inspect(BRONZE, opened, AT)
    assert (inspected.rows, inspected.misfits) == (
        2,
        {"id": 0, "seen": 2, "value": 2, "word": 0},
    )
    note = Note("d", misfits=4)
    made = engine.append(BRONZE, opened, note)
    head = head_of(engine, BRONZE)
    assert (head.version, head.note) == (made, note)
    assert seen(engine, BRONZE, BRONZE_COLUMNS, "_source_row") == [
        ("1", "x", 'a "b", c', "two\nlines", "readings.csv", 1, AT),
        ("2", "", " NA ", "NULL", "readings.csv", 2, AT),
    ]
    extra = replace(BRONZE, columns=(Column("extra"), *BRONZE.columns))
    assert seen(engine, extra, "extra", "_source_row") == [("",), ("\\N",)]
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert (
        engine.ingested(BRONZE, [digest])
        == engine.ingested(BRONZE, ["0" * 64, digest])
        == {digest}
    )
    assert (
        engine.ingested(BRONZE, [])
        == engine.ingested(BRONZE, ["0" * 64])
        == frozenset()
    )
    engine.inspect(BRONZE, opened, AT)
    assert engine.append(BRONZE, opened, note) is None
    assert engine.head(BRONZE) == head and engine.rows(BRONZE) == 2
    # A column of the earlier file is missing in this file.
    other = source_file(tmp_path / "other", CSV)
    engine.inspect(BRONZE, other, AT)
    assert engine.append(BRONZE, other, Note()) == head.version + 1
    assert sorted(seen(engine, extra, "extra, id"), key=repr) == [
        ("", "1"),
        ("\\N", "2"),
        (None, "1"),
        (None, "2"),
    ]
    engine.head(BRONZE)
    assert engine.changes(BRONZE, head.version, "news")
    assert engine.query("select id, word, _sign from news order by id") == [
        ("1", "one", 1),
        ("2", "", 1),
    ]


ODD_VALUES = [
    'x"y',
    '6"',
    "a\0b",
    " x ",
    "\t",
    "é" * 70_000,
    "x" * 2_100_000,
    "'",
    "\\",
]


def test_odd_values_of_csv_are_stored_as_they_are(
    engine: Engine, tmp_path: Path
) -> None:
    quoted = ['" x"', '"a,b"', '"\n\n"', '""""', '"\0"']
    lines = [f"{n},NA,NA,{word}\n" for n, word in enumerate([*ODD_VALUES, *quoted])]
    opened = source_file(tmp_path / "in", f"{HEADER}\n" + "".join(lines))
    engine.create(BRONZE)
    assert engine.inspect(BRONZE, opened, AT).rows == opened.rows == len(lines)
    engine.append(BRONZE, opened, NOTE)
    assert [row[0] for row in seen(engine, BRONZE, "word", "_source_row")] == [
        *ODD_VALUES,
        *(word[1:-1].replace('""', '"') for word in quoted),
    ]


LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.mark.parametrize("rows", LINE_ENDS.values(), ids=list(LINE_ENDS))
def test_line_breaks_in_values_are_no_line_ends(
    rows: str, engine: Engine, tmp_path: Path
) -> None:
    words = [f"x{end}y" for end in LINE_ENDS.values()] + ["plain"]
    lines = [HEADER, *(f'{number},NA,NA,"{word}"' for number, word in enumerate(words))]
    opened = source_file(tmp_path / "in", "".join(line + rows for line in lines))
    engine.create(BRONZE)
    inspected = engine.inspect(BRONZE, opened, AT)
    opened.check_rows(inspected.rows)
    assert inspected.rows == len(words)
    engine.append(BRONZE, opened, NOTE)
    assert seen(engine, BRONZE, "id, word, _source_row") == [
        (str(index), word, index + 1) for index, word in enumerate(words)
    ]


def test_blank_lines_of_one_column_are_no_rows(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text('id\n1\n\n""\n3\n\n')
    table = bronze(Source("a", (Column("id"),)))
    opened = open_sources(tmp_path / "in", TableSet((table,), tmp_path), tmp_path)["a"][
        0
    ]
    engine.create(table)
    assert engine.inspect(table, opened, AT).rows == 3
    engine.append(table, opened, NOTE)
    assert seen(engine, table, "_source_row, id", "_source_row") == [
        (1, "1"),
        (2, ""),
        (3, "3"),
    ]


def test_equal_files_of_two_tables_are_rows_of_both(
    engine: Engine, tmp_path: Path
) -> None:
    tables = [bronze(Source(name, READINGS.columns)) for name in ("a", "b")]
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.csv").write_text(CSV)
    found = open_sources(tmp_path / "in", TableSet(tuple(tables), tmp_path), tmp_path)
    for table, name in zip(tables, "ab"):
        engine.create(table)
        engine.inspect(table, found[name][0], AT)
    for table, name in zip(tables, "ab"):
        assert engine.append(table, found[name][0], NOTE) is not None
        assert seen(engine, table, "id, _source_file") == [
            ("1", f"{name}.csv"),
            ("2", f"{name}.csv"),
        ]
        assert engine.damaged_files(table) == {}


def test_data_file_that_is_gone_or_cut_off_is_damage(
    engine: Engine, lake: Lake
) -> None:
    table = replace(ITEMS, name="gold.damaged")
    engine.create(table)
    whole = put(engine, FIRST[:2], table=table)
    put(engine, FIRST[2:], keys=[3], table=table)
    head_of(engine, table)
    assert engine.damaged_files(table) == {}
    (file,) = (Path(lake.location(table)) / "month=2013-02-01").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    (reason,) = engine.damaged_files(table).values()
    assert reason.startswith("has ")
    file.unlink()
    assert engine.damaged_files(table) == {str(file): "is missing"}
    with pytest.raises(DamagedTableError) as caught:
        undamaged_head(engine, table)
    assert caught.value.next_step == f"lakekit restore gold.damaged --version {whole}"


def test_spark_reports_a_missing_data_file_after_a_log_cleanup(
    open_engine: Open, lake: Lake
) -> None:
    with open_engine("spark") as engine:
        engine.create(PLAIN)
        newest = put(engine, FIRST, table=PLAIN)
        location = Path(lake.location(PLAIN))
        DeltaTable(str(location)).create_checkpoint()
        for version in range(newest):
            (location / f"_delta_log/{version:020}.json").unlink()
        engine.head(PLAIN)
        assert engine.damaged_files(PLAIN) == {}
        for file in location.glob("*.parquet"):
            file.unlink()
        assert set(engine.damaged_files(PLAIN).values()) == {"is missing"}
        engine.read(PLAIN, "gone")
        with pytest.raises(
            DamagedTableError, match="gold.plain is damaged: .*parquet is missing"
        ):
            engine.query("select id from gone")


INSTANTS = [
    datetime.datetime(2013, 11, 3, 6, 30, tzinfo=UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 500, tzinfo=UTC),
]
PARQUET: Dict[str, Tuple[Any, List[Any], List[str]]] = {
    "int": (pa.int32(), [-7, 2**31 - 1], ["-7", "2147483647"]),
    "unsigned": (pa.uint64(), [7, 2**64 - 1], ["7", "18446744073709551615"]),
    "boolean": (pa.bool_(), [True, False], ["true", "false"]),
    "double": (pa.float64(), [0.1, 1e300], ["0.1", "1e+300"]),
    "shortest": (pa.float64(), [2.0e-3, 2**-44], ["0.002", "5.684341886080802e-14"]),
    "whole": (pa.float64(), [1.0, -0.0], ["1.0", "-0.0"]),
    "large": (pa.float64(), [1e16, 1e-5], ["1e+16", "1e-05"]),
    "none": (pa.float64(), [float("nan"), float("-inf")], ["nan", "-inf"]),
    "float": (pa.float32(), [0.1, 16777216.0], ["0.1", "16777216.0"]),
    "decimal": (
        pa.decimal128(18, 10),
        [Decimal("1.5"), Decimal("0E-10")],
        ["1.5000000000", "0.0000000000"],
    ),
    "date": (pa.date32(), [JANUARY, FEBRUARY], ["2013-01-01", "2013-02-01"]),
    "instant": (
        pa.timestamp("us", "UTC"),
        INSTANTS,
        ["2013-11-03T06:30:00Z", "1969-12-31T23:59:59.0005Z"],
    ),
    "millis": (
        pa.timestamp("ms", "UTC"),
        INSTANTS[:1] * 2,
        ["2013-11-03T06:30:00Z"] * 2,
    ),
    "nanos": (
        pa.timestamp("ns", "America/New_York"),
        INSTANTS[:1] * 2,
        ["2013-11-03T06:30:00Z"] * 2,
    ),
    "naive": (
        pa.timestamp("us"),
        [
            datetime.datetime(2013, 3, 10, 2, 30, 0, 120000),
            datetime.datetime(2013, 1, 1),
        ],
        ["2013-03-10T02:30:00.12", "2013-01-01T00:00:00"],
    ),
    "naive_nanos": (
        pa.timestamp("ns"),
        [-1500, 10**9],
        ["1969-12-31T23:59:59.9999985", "1970-01-01T00:00:01"],
    ),
    "far": (
        pa.timestamp("us", "UTC"),
        [2**58, -(2**57)],
        ["+11103-08-29T17:22:31.711744Z", "-2597-03-05T03:18:44.144128Z"],
    ),
    "far_day": (pa.date32(), [2932897, -719529], ["+10000-01-01", "-0001-12-31"]),
    "category": (pa.dictionary(pa.int8(), pa.string()), ["x", "y"], ["x", "y"]),
    "nulls": (pa.null(), [None, None], ["NA", "NA"]),
    "text": (pa.string(), ["", "NULL"], ["", "NULL"]),
}


def test_parquet_values_come_as_the_same_strings(
    engine: Engine, tmp_path: Path
) -> None:
    columns: Dict[str, Any] = {
        c.name: pa.array(["x", "y", "z"]) for c in READINGS.columns
    }
    columns.update(
        {
            name: pa.array([*given, None], kind)
            for name, (kind, given, _) in PARQUET.items()
        }
    )
    opened = source_file(tmp_path / "in", pa.table(columns), "readings.parquet")
    engine.create(BRONZE)
    engine.add_columns(BRONZE, [Column(f"{name}") for name in PARQUET])
    assert engine.inspect(BRONZE, opened, AT).rows == 3
    engine.append(BRONZE, opened, Note())
    wide = replace(
        BRONZE, columns=(*(Column(name) for name in PARQUET), *BRONZE.columns)
    )
    names = ", ".join(f"seen_{len(wide.columns)}.{name}" for name in PARQUET)
    found = seen(engine, wide, names, "_source_row")
    assert dict(zip(PARQUET, zip(*found))) == {
        name: (*said, "NA") for name, (_, _, said) in PARQUET.items()
    }


FITS = {
    "int": ["0", "-2147483648", "+12", "007"],
    "bigint": ["9223372036854775807"],
    "double": ["1", "-1.5e10", ".5", "5.", "1e-400", "1e400"],
    "boolean": ["true", "FALSE"],
    "date": ["2012-02-29", "0001-01-01", "9999-12-31"],
    "timestamp": [
        "2013-01-01T00:00:00Z",
        "2013-01-01 23:59:59.123456+05:30",
        "2013-01-01T00:00:00-12:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2013-01-01T00:00:00+18:00",
    ],
}
MISFITS = {
    "int": ["", " 1", "2147483648", "1.0", "1e3", "x", "--1", "1\n", "٣"],
    "bigint": ["9223372036854775808"],
    "double": ["", ".", "1e", "inf", "NaN", "0x10", "1d"],
    "boolean": ["", "t", "1", "yes", "true "],
    "date": [
        "2013-02-29",
        "2013-13-01",
        "2013-1-1",
        "20130101",
        "0000-01-01",
        "2013-01-01T00:00:00Z",
    ],
    "timestamp": [
        "2013-01-01T00:00:00",
        "2013-01-01",
        "2013-02-29T00:00:00Z",
        "2013-01-01T24:00:00Z",
        "2013-01-01T00:60:00Z",
        "2013-01-01T00:00:60Z",
        "2013-01-01T00:00:00.123456789Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2013-01-01T00:00:00+18:01",
        "2013-01-01T00:00:00-19:00",
        "2013-01-01T00:00:00+05:60",
    ],
}


def test_same_strings_fit(engine: Engine, tmp_path: Path) -> None:
    columns = tuple(
        Column(f"c_{kind}", kind)  # type: ignore[arg-type]  # the keys are types
        for kind in FITS
    )
    source = Source("strings", columns)
    wrong: Dict[str, List[str]] = {}
    for column in columns:
        for value in [*FITS[column.type], *MISFITS[column.type], "NA"]:
            escaped = (
                "', chr(10), '".join(value.split("\n")) if "\n" in value else value
            )
            text = f"concat('{escaped}')" if "\n" in value else f"'{escaped}'"
            sql = (
                f"select {engine.misfit(column, source)} "
                f"from (select {text} as {column.name}) t"
            )
            if engine.query(sql) != [(value in MISFITS[column.type],)]:
                wrong.setdefault(column.type, []).append(value)
    assert wrong == {}
    required = Column("c", required=True)
    sql = (
        f"select {engine.misfit(required, source)} from (select 'NA' as c "
        "union all select 'x') t order by 1"
    )
    assert engine.query(sql) == [(False,), (True,)]


def test_sql_means_the_same(engine: Engine) -> None:
    engine.define(
        "dates", "select 2013 as y, 2 as m, 29 as d union all select 2012, 2, 29"
    )
    engine.define("typed", values([(1, JANUARY, 1.5, "x")]))
    sql = (
        "select make_date(y, m, d) as day, row_number() over (order by y) as n "
        "from silver.items "
    )
    sql += "qualify n <= 2 order by y"
    table = replace(ITEMS, reads=("silver.items",))
    assert engine.query(engine.transform(table, sql, {"silver.items": "dates"})) == [
        (datetime.date(2012, 2, 29), 1),
        (None, 2),
    ]
    with pytest.raises(DeclarationError, match="silver.other"):
        engine.transform(
            table, "select 1 as x from silver.other", {"silver.items": "dates"}
        )
    with pytest.raises(UnsupportedSqlError, match="silver.items"):
        engine.transform(
            table,
            "select dayofweek(y) as x from silver.items",
            {"silver.items": "dates"},
        )
    assert engine.query(
        "select count(*) from dates where"
        f" {engine.predicate('t', 'm = 2 and d is not null')}"
    ) == [(2,)]
    with pytest.raises(UnsupportedSqlError, match="t: "):
        engine.predicate("t", "rand() < 0.5")
    assert engine.keep("kept", "select distinct m from dates") == 1
    assert engine.query("select m from kept") == [(2,)]


def test_instants_are_in_utc_also_in_the_hour_that_comes_twice(
    engine: Engine, tmp_path: Path
) -> None:
    opened = source_file(tmp_path / "in", CSV)
    engine.create(BRONZE)
    engine.inspect(BRONZE, opened, AT)
    engine.append(BRONZE, opened, Note())
    engine.read(BRONZE, "rows_in")
    sql = engine.transform(
        replace(ITEMS, reads=("bronze.readings",)),
        "select cast(seen as timestamp) as seen, _ingested_at from bronze.readings"
        " order by seen",
        {"bronze.readings": "rows_in"},
    )
    hour = datetime.timedelta(hours=1)
    first = datetime.datetime(2013, 11, 3, 5, 30, tzinfo=UTC)
    assert engine.query(sql) == [(first, AT), (first + hour, AT)]


# Both engines write to the same table.


def test_file_that_one_engine_took_in_is_not_taken_in_by_the_other(
    pair: Any, tmp_path: Path
) -> None:
    first, second = pair
    opened, other = source_file(tmp_path / "in", CSV), source_file(
        tmp_path / "more", f"{HEADER}\n3,x,NA,\n"
    )
    first.create(BRONZE)
    for engine in pair:
        engine.inspect(BRONZE, opened, AT)
    note = Note("d", misfits=1)
    assert first.append(BRONZE, opened, note) is not None
    assert second.append(BRONZE, opened, note) is None
    second.inspect(BRONZE, other, AT)
    assert second.append(BRONZE, other, replace(note, misfits=2)) is not None
    assert head_of(first, BRONZE) == head_of(second, BRONZE)
    assert (
        first.notes(BRONZE, 0)
        == second.notes(BRONZE, 0)
        == [replace(note, misfits=2), note]
    )
    asked = [opened.digest, "0" * 64, other.digest]
    assert (
        first.ingested(BRONZE, asked)
        == second.ingested(BRONZE, asked)
        == {opened.digest, other.digest}
    )
    found = seen(first, BRONZE, BRONZE_COLUMNS, "id")
    assert found == seen(second, BRONZE, BRONZE_COLUMNS, "id") and len(found) == 3


def test_table_is_continued_by_the_other_engine(pair: Any) -> None:
    first, second = pair
    first.create(ITEMS)
    made = put(first, FIRST, note=Note("one", {"bronze.readings": ("x", 1)}))
    assert head_of(second, ITEMS) == head_of(first, ITEMS)
    put(second, [(1, FEBRUARY, 1.0, "moved"), (4, JANUARY, 4.0, "new")], keys=[1, 3, 4])
    after = [(1, FEBRUARY, 1.0, "moved"), FIRST[1], (4, JANUARY, 4.0, "new")]
    assert seen(first) == seen(second) == after
    merged = head_of(first, ITEMS)
    assert merged == head_of(second, ITEMS)
    expected = sorted(
        [(*FIRST[0], -1), (*after[0], 1), (*FIRST[2], -1), (*after[2], 1)], key=repr
    )
    for engine in pair:
        assert sorted(net(engine, made), key=repr) == expected
    put(first, after)
    second.advance(ITEMS, head_of(second, ITEMS), Note("two", data=False))
    for engine in pair:
        assert net(engine, merged.version) == []
        with pytest.raises(ComputeError, match="month|value_positive"):
            put(engine, [(9, JANUARY, -1.0, None)], keys=[9])
        with pytest.raises(ConflictError):
            engine.advance(ITEMS, merged, Note())
    assert head_of(first, ITEMS) == head_of(second, ITEMS)
    assert head_of(first, ITEMS).note == Note("two", data=False)


def test_foreign_change_is_seen_by_both(
    open_engine: Open, spark: SparkSession, lake: Lake
) -> None:
    with open_engine("embedded") as embedded, open_engine("spark") as on_spark:
        on_spark.create(ITEMS)
        put(on_spark, FIRST)
        before = head_of(on_spark, ITEMS)
        spark.sql(f"delete from delta.`{lake.location(ITEMS)}` where id = 2")
        for engine in (embedded, on_spark):
            head = head_of(engine, ITEMS)
            assert (head.foreign, head.note, head.data_version) == (
                True,
                before.note,
                before.version + 1,
            )
            assert engine.notes(ITEMS, before.version) == [None]
            assert net(engine, before.version) == [(*FIRST[1], -1)]
        spark.sql(
            f"alter table delta.`{lake.location(ITEMS)}` set tblproperties "
            "('made.by' = 'us')"
        )
        assert head_of(on_spark, ITEMS).data_version == before.version + 1


# Spark only


def test_vacuum_deletes_what_no_version_names(open_engine: Open, lake: Lake) -> None:
    with open_engine("spark") as engine:
        engine.create(ITEMS)
        put(engine, FIRST)
        stray = Path(lake.location(ITEMS)) / "month=2013-01-01" / "part-stray.parquet"
        stray.touch()
        os.utime(stray, (0, 0))
        assert engine.vacuum(ITEMS, 168, dry_run=True) == [
            "month=2013-01-01/part-stray.parquet"
        ]
        assert stray.exists()
        assert engine.vacuum(ITEMS, 168, dry_run=False) == [
            "month=2013-01-01/part-stray.parquet"
        ]
        assert not stray.exists() and seen(engine) == FIRST


def test_table_is_partitioned_anew(open_engine: Open) -> None:
    with open_engine("spark") as engine:
        engine.create(PLAIN)
        put(engine, FIRST, table=PLAIN)
        checked = replace(
            PLAIN, partition="month", constraints=(Constraint("small", "id < 10"),)
        )
        put(engine, FIRST, table=checked)
        head = head_of(engine, checked)
        assert (head.partition, head.columns, head.constraints) == (
            "month",
            PLAIN.columns,
            frozenset({"small"}),
        )
        assert seen(engine, checked) == FIRST


def test_schema_is_a_lake_by_name(spark: SparkSession, tmp_path: Path) -> None:
    from lakekit.engines.spark.engine import SparkEngine

    tables = TableSet((BRONZE, ITEMS), tmp_path)
    lake = Lake("schema", "spark_catalog.lk")
    opened = source_file(tmp_path / "in", CSV)
    with SparkEngine(lake, tables, tmp_path / "scratch", spark) as engine:
        assert engine.head(ITEMS) is None
        engine.create(ITEMS)
        engine.create(BRONZE)
        made = put(engine, FIRST)
        put(engine, [], keys=[1])
        assert seen(engine) == FIRST[1:] and net(engine, made) == [(*FIRST[0], -1)]
        engine.inspect(BRONZE, opened, AT)
        engine.append(BRONZE, opened, Note())
        engine.inspect(BRONZE, opened, AT)
        assert engine.append(BRONZE, opened, Note()) is None
        assert (
            engine.rows(BRONZE) == 2 and head_of(engine, ITEMS).columns == ITEMS.columns
        )
        assert engine.vacuum(ITEMS, 168, dry_run=True) == []
    assert spark.table("spark_catalog.lk.silver_items").count() == 2


def test_session_that_was_given_is_given_back(
    spark: SparkSession, tmp_path: Path
) -> None:
    from lakekit.engines.spark.engine import SparkEngine

    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    names = (
        "spark.sql.session.timeZone",
        "spark.sql.ansi.enabled",
        "spark.sql.parquet.outputTimestampType",
    )
    before = [spark.conf.get(name) for name in names]
    try:
        with SparkEngine(
            Lake("folder", str(tmp_path)), TableSet((), tmp_path), tmp_path, spark
        ) as engine:
            engine.define("mine", "select 1 as x")
            assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
        assert [spark.conf.get(name) for name in names] == before
        assert (
            not spark.catalog.tableExists("mine") and spark.sql("select 1").count() == 1
        )
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_bucket_without_a_log_store_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    from lakekit.engines.spark.engine import SparkEngine

    lake = Lake("s3", "s3://bucket/lake")
    with pytest.raises(
        InvalidLakeError, match="s3://bucket/lake is on S3.*same version"
    ):
        SparkEngine(lake, TableSet((), tmp_path), tmp_path, spark)
    assert spark.conf.get("spark.sql.ansi.enabled") == "true"


OWN = """
import sys
from pathlib import Path
from lakekit.storage.lake import Lake
from lakekit.engines.spark.engine import SparkEngine
from lakekit.declarations.tables import TableSet
scratch = Path(sys.argv[1])
for _ in range(2):
    lake, tables = Lake("folder", str(scratch / "lake")), TableSet((), scratch)
    with SparkEngine(lake, tables, scratch / "tmp") as engine:
        print(engine.query(
            "select timestamp '2013-01-01 00:00:00' as t, current_timezone() as z"
        ))
"""


@pytest.mark.jvm
def test_session_of_its_own_starts_stops_and_starts_again(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LAKEKIT_JARS": os.environ["LAKE_CI_JARS"],
        "TZ": "America/New_York",
    }
    environment["PYTHONPATH"] = str(Path(__file__).parents[3] / "utils")
    done = subprocess.run(
        [sys.executable, "-c", OWN, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=600,
    )
    line = (
        "[(datetime.datetime(2013, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'UTC')]"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line, line] and "Exception" not in done.stderr
