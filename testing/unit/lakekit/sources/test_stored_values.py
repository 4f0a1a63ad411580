"""Tests which values of source files a run stores in bronze, and which values it
refuses.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Dict, List

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import lakekit
from lakekit.declarations.tables import TableSet, bronze
from lakekit.errors import SourceError
from testing.unit.lakekit.conftest import PEOPLE

HEADER = "name,age,seen,weight\n"


def stored(lake: Path, table: str = "bronze/people") -> Dict[str, List[Any]]:
    """Return the values of a table, by column."""
    found = DeltaTable(str(lake / table)).to_pyarrow_dataset().to_table()
    return {name: found[name].to_pylist() for name in found.column_names}


def write_parquet(source: Path, **columns: Any) -> None:
    """Write people.parquet with one person. `columns` are additional columns, each with
    one value.
    """
    (source / "people.csv").unlink()
    names = {name: pa.array(["NA"]) for name in ("age", "seen", "weight")}
    names["name"] = pa.array(["Ada"])
    pq.write_table(pa.table({**names, **columns}), source / "people.parquet")


@pytest.mark.parametrize("size", [140_000, 3_000_000])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_large_value_is_stored_whatever_its_row(
    last: bool, size: int, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    rows = [f"{'x' * size},36,NA,NA\n", "Bob,36,NA,NA\n"]
    content = HEADER + "".join(rows[::-1] if last else rows)
    (source / "people.csv").write_text(content)
    lakekit.run(source, tmp_path / "lake", tables=tables)
    assert sorted(map(len, stored(tmp_path / "lake")["name"])) == [3, size]


PARQUET_TEXTS = {
    "zoned": (pa.timestamp("ns", "UTC"), 10**9 + 5000, "1970-01-01T00:00:01.000005Z"),
    "before": (pa.timestamp("ns"), -1500, "1969-12-31T23:59:59.9999985"),
    "local": (pa.timestamp("us"), 10**6, "1970-01-01T00:00:01"),
    "local_ns": (pa.timestamp("ns"), -(10**8), "1969-12-31T23:59:59.9"),
    "later": (pa.timestamp("us", "UTC"), 2**58, "+11103-08-29T17:22:31.711744Z"),
    "earlier": (pa.timestamp("us", "UTC"), -(2**57), "-2597-03-05T03:18:44.144128Z"),
    "day": (pa.date32(), 2932897, "+10000-01-01"),
    "last": (pa.timestamp("us", "UTC"), 2**63 - 1, "infinity"),
    "last_day": (pa.date32(), 2**31 - 1, "infinity"),
    "none": (pa.null(), None, "NA"),
    "category": (pa.dictionary(pa.int8(), pa.string()), "x", "x"),
    "digits": (pa.decimal128(38, 2), Decimal("-0.50"), "-0.50"),
}


def test_parquet_values_are_stored_as_the_expected_text(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    write_parquet(
        source,
        **{
            name: pa.array([value], kind)
            for name, (kind, value, _) in PARQUET_TEXTS.items()
        },
    )
    lakekit.run(source, tmp_path / "lake", tables=tables)
    found = stored(tmp_path / "lake")
    assert {name: found[name][0] for name in PARQUET_TEXTS} == {
        name: text for name, (*_, text) in PARQUET_TEXTS.items()
    }


def test_nanoseconds_of_instants_are_stored_or_refused_and_never_cut_off(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    write_parquet(source, zoned=pa.array([1_000_000_005], pa.timestamp("ns", "UTC")))
    if duckdb.__version__ < "2":
        with pytest.raises(
            SourceError, match="people.parquet, column zoned: the installed"
        ):
            lakekit.run(source, tmp_path / "lake", tables=tables)
        return
    lakekit.run(source, tmp_path / "lake", tables=tables)
    assert stored(tmp_path / "lake")["zoned"] == ["1970-01-01T00:00:01.000000005Z"]


UNREAD = {
    "binary": pa.array([b"O'Brien"]),
    "fixed_size_binary[2]": pa.array([b"xy"], pa.binary(2)),
    "halffloat": pa.array([1.5], pa.float16()),
    "decimal256(60, 2)": pa.array([Decimal("1.50")], pa.decimal256(60, 2)),
    "time32[ms]": pa.array([datetime.time(1)], pa.time32("ms")),
    "time64[us]": pa.array([datetime.time(1)]),
    "duration[us]": pa.array([datetime.timedelta(1)]),
    "list<element: int64>": pa.array([[1]]),
    "struct<a: int64>": pa.array([{"a": 1}]),
    "map<string, int64 ('odd')>": pa.array(
        [[("a", 1)]], pa.map_(pa.string(), pa.int64())
    ),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_parquet_type_that_is_not_in_the_table_is_refused_by_name(
    kind: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    write_parquet(source, odd=UNREAD[kind])
    with pytest.raises(SourceError) as refused:
        lakekit.run(source, tmp_path / "lake", tables=tables)
    what = (
        f"people.parquet has a column odd of type {kind}, which lakekit does not read"
    )
    assert what in str(refused.value)
    assert not (tmp_path / "lake").exists()


def test_parquet_text_that_is_not_utf8_is_refused_by_column(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    bad = pa.array([b"\xff\xfe"]).view(pa.string())
    write_parquet(source, note=bad)
    with pytest.raises(SourceError, match="people.parquet, column note: not UTF-8"):
        lakekit.run(source, tmp_path / "lake", tables=tables)


def test_parquet_file_with_a_damaged_page_is_refused_by_column(
    source: Path, tables: TableSet, tmp_path: Path
) -> None:
    write_parquet(source, note=pa.array(["x" * 200]))
    path = source / "people.parquet"
    content = bytearray(path.read_bytes())
    content[4:24] = b"\xff" * 20  # damage the header of the first page
    path.write_bytes(content)
    with pytest.raises(SourceError, match="people.parquet, column .*: not readable"):
        lakekit.run(source, tmp_path / "lake", tables=tables)
    assert not (tmp_path / "lake").exists()


GOOD = [
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2013-01-01 00:00:00+18:00",
]
BAD = [
    "9999-12-31T23:59:59-01:00",
    "0001-01-01T00:00:00+01:00",
    "2023-12-29T00:00:00+18:01",
    "2023-12-29T00:00:00-23:59",
    "2023-12-29T00:00:00+05:60",
    "2023-12-29T00:00:60Z",
    "2023-12-29T00:00:00.123456789Z",
    "2023-12-29T00:00:00",
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_only_instants_of_the_years_1_to_9999_are_converted(
    kind: str, source: Path, tables: TableSet, tmp_path: Path
) -> None:
    texts = [*GOOD, *BAD]
    names = [str(number) for number in range(len(texts))]
    if kind == "parquet":
        (source / "people.csv").unlink()
        columns = {"name": names, "seen": texts, "age": ["NA"] * len(texts)}
        columns["weight"] = columns["age"]
        pq.write_table(pa.table(columns), source / "people.parquet")
    else:
        rows = [f"{name},NA,{text},NA\n" for name, text in zip(names, texts)]
        (source / "people.csv").write_text(HEADER + "".join(rows))
    many = replace(PEOPLE, misfits=0.9)
    tables = TableSet((bronze(many), *tables.tables[1:2]), tables.sql)
    lakekit.run(source, tmp_path / "lake", tables=tables)
    silver = stored(tmp_path / "lake", "silver/people")
    assert sorted(silver["name"]) == names[: len(GOOD)]
    quarantine = stored(tmp_path / "lake", "quarantine/people")
    assert sorted(quarantine["seen"]) == sorted(BAD)
    assert set(quarantine["_rule"]) == {"type: seen"}
