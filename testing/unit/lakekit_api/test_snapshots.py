from __future__ import annotations

import datetime
import gc
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from lakekit.declarations.tables import Column, Table
from lakekit.errors import InvalidLakeError, StorageError
from lakekit.storage.lake import Lake, find_lake
from lakekit_api.snapshots import Head, Reader, Snapshot, VersionGoneError
from testing.unit.lakekit_api.trips import NOON, TRIPS, trip, write


@pytest.fixture
def reader(lake: Path) -> Iterator[Reader]:
    reader = Reader(find_lake(lake), "1GB")
    yield reader
    reader.close()


def newest(reader: Reader) -> Snapshot:
    head = reader.head(TRIPS)
    assert head is not None
    return reader.load(TRIPS, head)


def rows(reader: Reader, snapshot: Snapshot) -> List[Dict[str, Any]]:
    with reader.cursor() as cursor:
        found = cursor.execute(f'SELECT * FROM "{snapshot.relation}"').fetchall()
    return [dict(zip((c.name for c in snapshot.table.columns), row)) for row in found]


def test_newest_version_is_read_in_the_order_of_its_key(reader: Reader) -> None:
    snapshot = newest(reader)
    found = rows(reader, snapshot)
    assert (snapshot.version, snapshot.rows) == (0, 5)
    assert [(row["day"].day, row["code"]) for row in found] == [
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (2, "b"),
        (3, "a"),
    ]
    assert found[0]["at"] == NOON.replace(tzinfo=None) and found[0]["big"] == 2**40


def test_older_version_stays_what_it_was(reader: Reader, lake: Path) -> None:
    write(lake, TRIPS, [trip(9, "z")], mode="append")
    head = reader.head(TRIPS)
    assert head is not None and head.version == 1
    assert reader.load(TRIPS, head).rows == 6
    assert reader.load(TRIPS, Head(0, "")).rows == 5


def test_etag_changes_with_the_version_and_with_the_table(
    reader: Reader, lake: Path
) -> None:
    first = newest(reader).etag
    assert newest(reader).etag == first
    write(lake, TRIPS, [trip(9, "z")], mode="append")
    assert newest(reader).etag != first


def test_snapshot_goes_when_nobody_uses_it(reader: Reader) -> None:
    snapshot = newest(reader)
    tables = "SELECT count(*) FROM duckdb_tables()"
    assert reader.cursor().execute(tables).fetchone() == (1,)
    del snapshot
    gc.collect()
    assert reader.cursor().execute(tables).fetchone() == (0,)


def test_version_whose_files_are_gone_is_told_apart(reader: Reader, lake: Path) -> None:
    write(lake, TRIPS, [trip(9, "z")])
    delta = DeltaTable(str(lake / TRIPS.folder))
    delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(VersionGoneError):
        reader.load(TRIPS, Head(0, str(delta.metadata().id)))
    with pytest.raises(VersionGoneError):
        reader.load(TRIPS, Head(99, str(delta.metadata().id)))


def test_damaged_file_is_a_storage_error(reader: Reader, lake: Path) -> None:
    for file in (lake / TRIPS.folder).glob("*.parquet"):
        file.write_bytes(b"PAR1, once")
    with pytest.raises(StorageError):
        newest(reader)


def test_table_that_is_not_there_has_no_head(reader: Reader) -> None:
    assert reader.head(Table("gold.none", TRIPS.columns, sql="none.sql")) is None


def test_schema_of_a_catalog_is_refused() -> None:
    with pytest.raises(InvalidLakeError, match="a schema, which only Spark"):
        Reader(Lake("schema", "main.lake"), "1GB")


def test_times_as_spark_writes_them_are_in_utc(reader: Reader, lake: Path) -> None:
    """Spark may write timestamps to Parquet files as INT96, a type without a time
    zone.
    """
    write(lake, TRIPS, [trip(1, "a", at=NOON)])
    [file] = [Path(uri) for uri in DeltaTable(str(lake / TRIPS.folder)).file_uris()]
    pq.write_table(pq.read_table(file), file, use_deprecated_int96_timestamps=True)
    assert rows(reader, newest(reader))[0]["at"] == NOON.replace(tzinfo=None)


def test_column_that_older_files_lack_is_null(reader: Reader, lake: Path) -> None:
    wider = Table(
        "gold.trips",
        (*TRIPS.columns, Column("new", "timestamp")),
        sql="trips.sql",
        key=TRIPS.key,
    )
    head = reader.head(wider)
    assert head is not None
    assert {row["new"] for row in rows(reader, reader.load(wider, head))} == {None}


def test_empty_and_partitioned_tables_are_read(reader: Reader, lake: Path) -> None:
    table = Table(
        "gold.parts",
        (Column("month", "date", required=True), Column("n", "int")),
        sql="p.sql",
        partition="month",
    )
    fields: List[pa.Field[Any]] = [
        pa.field("month", pa.date32(), False),
        pa.field("n", pa.int32()),
    ]
    schema = pa.schema(fields)
    location = str(lake / table.folder)
    DeltaTable.create(location, schema, partition_by=["month"])
    head = reader.head(table)
    assert head is not None and reader.load(table, head).rows == 0
    january = datetime.date(2013, 1, 1)
    write_deltalake(
        location,
        pa.Table.from_pylist([{"month": january, "n": 3}], schema),
        mode="append",
    )
    head = reader.head(table)
    assert head is not None
    assert rows(reader, reader.load(table, head)) == [{"month": january, "n": 3}]
