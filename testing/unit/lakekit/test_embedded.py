from __future__ import annotations

import csv
import datetime
import io
import json
import math
import sys
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Type

import duckdb
import pyarrow
import pyarrow.dataset
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakekit.embedded import EmbeddedEngine
from lakekit.errors import (
    ComputeError,
    ConflictError,
    DeclarationError,
    LakeRefused,
    MissingExtra,
    SourceError,
    StorageError,
    ValueRefused,
)
from lakekit.sources import open_sources
from lakekit.tables import Column, Source, Table, TableSet, bronze

HEADER = "name,age,seen,weight\n"
ALL_TYPES = Table(
    "silver.all",
    (
        Column("s"),
        Column("b", "boolean"),
        Column("i", "int"),
        Column("l", "bigint", required=True),
        Column("d", "double"),
        Column("day", "date"),
        Column("t", "timestamp"),
    ),
    sql="all.sql",
)
ALL_QUERY = """
    select 'x' as s, true as b, 1::int as i, 2::bigint as l, 0.5::double as d, date '2013-01-31' as day,
      timestamptz '2013-01-01 10:00:00Z' as t
    union all select null, null, null, 3, null, null, null
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def engine(lake: Path, tmp_path: Path) -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(lake, tmp_path) as opened:
        yield opened


def load(
    engine: EmbeddedEngine, folder: Path, tables: TableSet, scratch: Path, text: str
) -> List[Dict[str, Any]]:
    """Bronze of one CSV text."""
    (folder / "people.csv").write_bytes(text.encode())
    table = tables["bronze.people"]
    staged = engine.stage_source(table, open_sources(folder, tables, scratch)[0])
    engine.commit(staged, "digest")
    found = engine.rows(table, 100_000)
    assert found is not None and len(found[1]) == staged.rows
    return found[1]


def test_committed_table_has_the_declared_types(engine: EmbeddedEngine, lake: Path) -> None:
    staged = engine.stage_query(ALL_TYPES, ALL_QUERY)
    assert engine.head(ALL_TYPES) is None
    assert engine.commit(staged, "digest") == 0
    delta = DeltaTable(str(lake / "silver/all"))
    fields = [
        (field.name, json.loads(field.type.to_json()), field.nullable) for field in delta.schema().fields
    ]
    assert fields == [
        ("s", "string", True),
        ("b", "boolean", True),
        ("i", "integer", True),
        ("l", "long", False),
        ("d", "double", True),
        ("day", "date", True),
        ("t", "timestamp", True),
    ]
    protocol = delta.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    found = engine.rows(ALL_TYPES, 1)
    assert found is not None
    assert found[1] == [
        {
            "s": "x",
            "b": True,
            "i": 1,
            "l": 2,
            "d": 0.5,
            "day": datetime.date(2013, 1, 31),
            "t": datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc),
        }
    ]


def test_statistics_count_rows_and_nulls(engine: EmbeddedEngine, lake: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "digest")
    lines = (lake / "silver/all/_delta_log/00000000000000000000.json").read_text().splitlines()
    add = next(json.loads(line)["add"] for line in lines if '"add"' in line)
    nulls = {"s": 1, "b": 1, "i": 1, "l": 0, "d": 1, "day": 1, "t": 1}
    assert json.loads(add["stats"]) == {"numRecords": 2, "nullCount": nulls}


def test_delta_rs_finds_a_row_by_any_column(engine: EmbeddedEngine, lake: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, f"{ALL_QUERY} union all {ALL_QUERY}"), "digest")
    found = engine.rows(ALL_TYPES, 1)
    assert found is not None
    dataset = DeltaTable(str(lake / "silver/all")).to_pyarrow_dataset()
    for name, value in found[1][0].items():
        scalar = pyarrow.scalar(value, dataset.schema.field(name).type)
        assert dataset.to_table(filter=pyarrow.dataset.field(name) == scalar).num_rows == 2, name


def test_table_without_rows_is_a_table(engine: EmbeddedEngine) -> None:
    staged = engine.stage_query(ALL_TYPES, f"select * from ({ALL_QUERY}) where false")
    engine.commit(staged, "digest")
    assert engine.rows(ALL_TYPES, 5) == (0, [])
    head = engine.head(ALL_TYPES)
    assert head is not None and (head.version, head.rows, head.digest) == (0, 0, "digest")


def test_second_commit_replaces_rows_and_schema(engine: EmbeddedEngine, lake: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
    narrow = Table("silver.all", (Column("l", "int"), Column("added")), sql="all.sql")
    assert engine.commit(engine.stage_query(narrow, "select 7::int as l, 'new' as added"), "two") == 1
    assert engine.rows(narrow, 5) == (1, [{"l": 7, "added": "new"}])
    assert DeltaTable(str(lake / "silver/all"), version=0).to_pyarrow_dataset().count_rows() == 2


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select 1::bigint as n, 'x' as s", "gives the columns n, s; declared: n, t"),
        ("select 1::bigint as n, 1::double as t", "column t is DOUBLE in the SQL and string as declared"),
        ("select 1::double as n, 'x' as t", "column n is DOUBLE"),
        ("select timestamp '2013-01-01' as n, 'x' as t", "column n is TIMESTAMP in"),
    ],
)
def test_frame_that_is_not_as_declared_is_refused(
    query: str, reason: str, engine: EmbeddedEngine, lake: Path
) -> None:
    table = Table("silver.t", (Column("n", "int"), Column("t")), sql="t.sql")
    with pytest.raises(DeclarationError, match=reason):
        engine.stage_query(table, query)
    assert not lake.exists()


def test_whole_number_of_another_width_is_cast_and_its_range_checked(engine: EmbeddedEngine) -> None:
    table = Table("silver.t", (Column("n", "int"),), sql="t.sql")
    assert engine.stage_query(table, "select 5::hugeint as n").rows == 1
    with pytest.raises(ComputeError, match="silver.t could not be computed"):
        engine.stage_query(table, "select 3000000000::bigint as n")


def test_null_in_a_required_column_is_refused(engine: EmbeddedEngine) -> None:
    table = Table("silver.t", (Column("n", "int", required=True),), sql="t.sql")
    with pytest.raises(ComputeError, match="column n is required and has 1 nulls"):
        engine.stage_query(table, "select 1::int as n union all select null")


@pytest.mark.parametrize("query", ["select nothing from nowhere", "select make_date(2013, 13, 1) as n"])
def test_query_that_fails_is_no_traceback(query: str, engine: EmbeddedEngine) -> None:
    with pytest.raises(ComputeError, match="Nothing was written"):
        engine.stage_query(Table("silver.t", (Column("n", "date"),), sql="t.sql"), query)


def test_what_is_not_committed_is_deleted(lake: Path, tmp_path: Path) -> None:
    with EmbeddedEngine(lake, tmp_path) as engine:
        engine.stage_query(ALL_TYPES, ALL_QUERY)
        assert list(lake.rglob("*.parquet"))
    assert not lake.exists()


def test_empty_folder_that_was_there_before_stays(lake: Path, tmp_path: Path) -> None:
    lake.mkdir()
    with EmbeddedEngine(lake, tmp_path) as engine:
        engine.stage_query(ALL_TYPES, ALL_QUERY)
    assert list(lake.iterdir()) == []


def test_what_is_committed_stays(lake: Path, tmp_path: Path) -> None:
    with EmbeddedEngine(lake, tmp_path) as engine:
        engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
        engine.stage_query(ALL_TYPES, ALL_QUERY)
    assert len(list(lake.rglob("*.parquet"))) == 1


def test_commit_on_a_version_that_is_no_longer_the_newest_is_a_conflict(
    engine: EmbeddedEngine, lake: Path, tmp_path: Path
) -> None:
    first = engine.stage_query(ALL_TYPES, ALL_QUERY)
    with EmbeddedEngine(lake, tmp_path) as other:
        other.commit(other.stage_query(ALL_TYPES, ALL_QUERY), "other")
    with pytest.raises(ConflictError):
        engine.commit(first, "mine")
    head = engine.head(ALL_TYPES)
    assert head is not None and (head.version, head.digest) == (0, "other")


@pytest.mark.parametrize("existing", [0, 1], ids=["first commit", "later commit"])
def test_commit_that_lands_between_check_and_write_is_a_conflict(
    existing: int, engine: EmbeddedEngine, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if existing:
        engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "before")
    mine = engine.stage_query(ALL_TYPES, ALL_QUERY)
    stale = DeltaTable(str(lake / "silver/all")) if existing else None
    with EmbeddedEngine(lake, tmp_path) as other:
        other.commit(other.stage_query(ALL_TYPES, ALL_QUERY), "other")
    newest, answers = engine._open, [stale]
    monkeypatch.setattr(engine, "_open", lambda table: answers.pop() if answers else newest(table))
    with pytest.raises(ConflictError):
        engine.commit(mine, "mine")


def test_commit_by_another_writer_carries_no_digest(engine: EmbeddedEngine, lake: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
    folder = str(lake / "silver/all")
    write_deltalake(folder, DeltaTable(folder).to_pyarrow_dataset().head(1), mode="append")
    head = engine.head(ALL_TYPES)
    assert head is not None and (head.version, head.digest) == (1, "")


def test_attached_table_is_read_at_its_version(engine: EmbeddedEngine, lake: Path, tmp_path: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
    counted = Table("gold.counted", (Column("n", "bigint"),), sql="n.sql")
    with EmbeddedEngine(lake, tmp_path) as fresh:
        head = fresh.head(ALL_TYPES)
        assert head is not None
        engine.commit(engine.stage_query(ALL_TYPES, f"{ALL_QUERY} union all {ALL_QUERY}"), "two")
        fresh.attach(ALL_TYPES, head)  # that version, not the one that came after it
        fresh.commit(fresh.stage_query(counted, "select count(*) as n from silver.all"), "one")
        assert fresh.rows(counted, 5) == (0, [{"n": 2}])


@pytest.mark.parametrize("folder", ["a b", "é", "[z]*", "it's", 'q"q'])
def test_any_folder_name_will_do(folder: str, tmp_path: Path) -> None:
    lake = tmp_path / folder / "lake"
    for version in (0, 1):
        with EmbeddedEngine(lake, tmp_path) as engine:
            assert engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), str(version)) == version
            head = engine.head(ALL_TYPES)
            assert head is not None
            engine.attach(ALL_TYPES, head)
            found = engine.rows(ALL_TYPES, 5)
            assert found is not None and len(found[1]) == 2
            counted = Table(f"gold.n{version}", (Column("n", "bigint"),), sql="n.sql")
            engine.commit(engine.stage_query(counted, "select count(*) as n from silver.all"), "n")
    assert [child.name for child in tmp_path.iterdir()] == [folder]


@pytest.mark.parametrize("folder", ["100%", "x#y", "x?y"])
def test_folder_name_that_delta_rs_misreads_is_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(LakeRefused, match="which delta-rs misreads"):
        EmbeddedEngine(tmp_path / folder / "lake", tmp_path)


def test_damaged_log_is_a_storage_error(engine: EmbeddedEngine, lake: Path) -> None:
    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
    (lake / "silver/all/_delta_log/00000000000000000000.json").write_text("{")
    with pytest.raises(StorageError, match="silver/all"):
        engine.head(ALL_TYPES)


def test_log_folder_without_a_commit_is_no_table(engine: EmbeddedEngine, lake: Path) -> None:
    (lake / "silver/all/_delta_log").mkdir(parents=True)
    assert engine.head(ALL_TYPES) is None


def test_log_that_cannot_be_written_is_a_storage_error(
    engine: EmbeddedEngine, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "one")
    monkeypatch.setattr(DeltaTable, "create_write_transaction", full)
    with pytest.raises(StorageError, match="No space left"):
        engine.commit(engine.stage_query(ALL_TYPES, ALL_QUERY), "two")
    head = engine.head(ALL_TYPES)
    assert head is not None and (head.version, head.digest) == (0, "one")


def test_data_file_that_cannot_be_written_is_a_storage_error(
    engine: EmbeddedEngine, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: "in/a/folder/that/is/not/there")
    with pytest.raises(StorageError, match="silver/all: No such file or directory"):
        engine.stage_query(ALL_TYPES, ALL_QUERY)


@pytest.mark.parametrize(
    ("said", "raised"), [("Query interrupted", KeyboardInterrupt), ("else", RuntimeError)]
)
def test_ctrl_c_in_a_query_is_a_keyboard_interrupt(
    said: str, raised: Type[BaseException], engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def execute(self, sql: str) -> None:
            raise RuntimeError(said)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_duckdb", Interrupted())
        with pytest.raises(raised):
            engine.stage_query(ALL_TYPES, ALL_QUERY)


def test_csv_comes_as_it_is(engine: EmbeddedEngine, source: Path, tables: TableSet, tmp_path: Path) -> None:
    text = (
        "\ufeffweight,seen,age,name\r\n"
        'NA,NA,1,"Ada, ""the\nfirst"""\r\n'
        "NA,NA,2, Bob \r\n"
        'NA,NA,3,""\r\n'
        "NA,NA,4,\r\n"
        "NA,NA,5,NULL\r\n"
        "NA,NA,6,Zoë\r\n"
    )
    rows = load(engine, source, tables, tmp_path, text)
    assert [row["name"] for row in rows] == ['Ada, "the\nfirst"', " Bob ", "", "", "NULL", "Zoë"]
    assert [row["age"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["_source_row"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row["_source_file"] for row in rows} == {"people.csv"}


def test_rows_keep_their_numbers_in_a_long_file(
    engine: EmbeddedEngine, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    # Longer than DuckDB's row groups, so that several threads read it.
    text = HEADER + "".join(f"p{n},{n},NA,NA\n" for n in range(1, 90_001))
    rows = load(engine, source, tables, tmp_path, text)
    assert all(row["age"] == str(row["_source_row"]) for row in rows) and len(rows) == 90_000


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Ada,1,NA,NA\nBob,2,NA\n", r"people.csv, line 3: Expected Number of Columns: 4 Found: 3"),
        ("Ada,1,NA,NA\nBob,2,NA,NA,5\n", r"people.csv, line 3: Expected Number of Columns: 4 Found: 5"),
        ('Ada,1,NA,NA\n"Bob,2,NA,NA\n', r"people.csv, line 3: "),
    ],
)
def test_malformed_row_is_refused_with_its_line(
    text: str, where: str, engine: EmbeddedEngine, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=where):
        load(engine, source, tables, tmp_path, HEADER + text)


def test_byte_that_is_not_utf8_is_refused(
    engine: EmbeddedEngine, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    rows = "".join(f"p{n},{n},NA,NA\n" for n in range(20_000))  # beyond what opening the file looks at
    (source / "people.csv").write_bytes((HEADER + rows).encode() + b"B\xffb,1,NA,NA\n")
    with pytest.raises(SourceError, match="people.csv"):
        engine.stage_source(tables["bronze.people"], open_sources(source, tables, tmp_path)[0])


@pytest.mark.parametrize(
    ("row", "column", "wanted"),
    [
        ("Bob,abc,NA,NA", "age", "an int"),
        ("Bob,2.7,NA,NA", "age", "an int"),
        ("Bob,,NA,NA", "age", "an int"),
        ("Bob, 2,NA,NA", "age", "an int"),
        ("Bob,1_000,NA,NA", "age", "an int"),
        ("Bob,3000000000,NA,NA", "age", "an int"),
        ("Bob,2,NA,1.2.3", "weight", "a double"),
        ("Bob,2,NA,nan", "weight", "a double"),
        ("Bob,2,2013-01-01,NA", "seen", "a timestamp"),
        ("Bob,2,2013-01-01T10:00:00,NA", "seen", "a timestamp"),
        ("Bob,2,2013-02-30T10:00:00Z,NA", "seen", "a timestamp"),
        ("NA,2,NA,NA", "name", "a value, and one is required"),
    ],
)
def test_value_that_does_not_convert_is_refused(
    row: str, column: str, wanted: str, engine: EmbeddedEngine, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    value = next(csv.DictReader(io.StringIO(HEADER + row)))[column]
    text = HEADER + '"A\nda",1,2013-01-01T10:00:00+01:00,.5\n' + row + "\nCy,x,y,z\n"
    with pytest.raises(ValueRefused) as caught:
        load(engine, source, tables, tmp_path, text)
    found = str(caught.value)
    assert f"people.csv, row 2 (line 4), column {column}: {value!r} is not {wanted}" in found


VALUES = Source(
    "values", (Column("i", "int"), Column("l", "bigint"), Column("d", "double"), Column("t", "timestamp"))
)
VALUE_TABLES = TableSet((bronze(VALUES),), Path())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_python_writes_of_a_type_converts(
    rows: List[Any], engine: EmbeddedEngine, source: Path, tmp_path: Path
) -> None:
    lines = [f"{i},{n},{d!r},{t.isoformat(timespec='microseconds')}Z" for i, n, d, t in rows]
    (source / "values.csv").write_text("\n".join(["i,l,d,t", *lines, ""]))
    table = VALUE_TABLES["bronze.values"]
    engine.stage_source(table, open_sources(source, VALUE_TABLES, tmp_path)[0])
    query = "select i::int as i, l::bigint as l, d::double as d, t::timestamptz as t from bronze.values"
    typed = Table("silver.values", VALUES.columns, sql="v.sql")
    staged = engine.stage_query(typed, query)
    with duckdb.connect() as connection:
        read = connection.execute(f"select i, l, d, epoch_us(t) from '{staged.file}'").fetchall()
    epoch = datetime.datetime(1970, 1, 1)
    for (i, n, d, t), found in zip(rows, read):
        assert found[:2] == (i, n) and math.isclose(found[2], d, rel_tol=0, abs_tol=0)
        assert found[3] == (t - epoch) // datetime.timedelta(microseconds=1)


@pytest.mark.parametrize("package", ["duckdb", "deltalake", "pyarrow"])
def test_without_the_extra_the_message_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "lakekit.embedded")
    with pytest.raises(MissingExtra, match=package) as caught:
        import lakekit.embedded  # noqa: F401  # the import itself is what is tested
    assert caught.value.next_step == 'pip install "lakekit[embedded]"'
