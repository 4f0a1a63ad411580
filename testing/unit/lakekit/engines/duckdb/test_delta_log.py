from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List, Optional

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Field, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction

from lakekit.declarations.tables import Column, Table
from lakekit.engines.duckdb import delta_log
from lakekit.engines.engine import Note
from lakekit.errors import (
    DamagedLogError,
    DamagedTableError,
    InvalidLakeError,
    StorageError,
)
from lakekit.storage.lake import Lake

TABLE = Table(
    "gold.t",
    (
        Column("x", "bigint", required=True, comment="An x"),
        Column("p", "date", required=True),
        Column("d", "double"),
    ),
    sql="t.sql",
    partition="p",
    comment="All of t",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake("folder", str(tmp_path / "lake"))


@pytest.fixture
def delta(lake: Lake) -> DeltaTable:
    delta_log.create(TABLE, lake.location(TABLE))
    return opened(lake)


def opened(lake: Lake) -> DeltaTable:
    found = delta_log.open_table(lake, TABLE)
    assert found is not None
    return found


def write(lake: Lake, note: Optional[Note], x: int = 1) -> None:
    metadata = {"userMetadata": note.text()} if note else {}
    fields: List[pa.Field[Any]] = [
        pa.field("x", pa.int64(), False),
        pa.field("p", pa.date32(), False),
        pa.field("d", pa.float64()),
    ]
    rows = pa.table(
        {"x": [x], "p": pa.array([0], pa.date32()), "d": [0.5]},
        schema=pa.schema(fields),
    )
    write_deltalake(
        opened(lake),
        rows,
        mode="append",
        commit_properties=CommitProperties(custom_metadata=metadata),
    )


def test_table_that_is_not_there_is_none(lake: Lake) -> None:
    assert delta_log.open_table(lake, TABLE) is None
    (Path(lake.location(TABLE)) / "_delta_log").mkdir(parents=True)
    assert delta_log.open_table(lake, TABLE) is None


def test_created_table_is_as_declared(delta: DeltaTable, lake: Lake) -> None:
    assert delta_log.columns(delta) == TABLE.columns
    assert delta_log.partition(delta) == {"p": "date"}
    assert (delta.metadata().name, delta.metadata().description) == (
        "gold.t",
        "All of t",
    )
    assert delta.metadata().configuration == {"delta.enableChangeDataFeed": "true"}
    assert delta.protocol().min_reader_version == 1
    delta_log.create(TABLE, lake.location(TABLE))
    assert opened(lake).version() == 0
    assert delta_log.record_counts(delta) == []


def test_head_tells_the_newest_change_of_rows_and_the_note_of_it(
    delta: DeltaTable, lake: Lake
) -> None:
    assert delta_log.head(delta).note is None
    first = Note("one", {"silver.a": ("id", 3)})
    write(lake, first)
    write(lake, Note("one", {"silver.a": ("id", 4)}, data=False))
    head = delta_log.head(opened(lake))
    assert (head.version, head.data_version, head.foreign) == (2, 1, False)
    assert head.note is not None and head.note.reads == {"silver.a": ("id", 4)}
    opened(lake).alter.add_constraint({"x_positive": "x > 0"})
    opened(lake).optimize.compact()
    head = delta_log.head(opened(lake))
    assert (head.version, head.data_version, head.foreign, head.constraints) == (
        4,
        1,
        False,
        frozenset({"x_positive"}),
    )
    write(lake, None)
    head = delta_log.head(opened(lake))
    assert (head.data_version, head.foreign) == (5, True) and head.note is not None
    assert delta_log.record_counts(opened(lake)) in ([1, 2], [2, 1])
    assert delta_log.gains_by_compaction(opened(lake))


def test_note_is_found_below_many_entries_of_others(
    delta: DeltaTable, lake: Lake
) -> None:
    note = Note("one")
    write(lake, note)
    for x in range(delta_log.RECENT + 1):
        write(lake, None, x)
    head = delta_log.head(opened(lake))
    assert (head.note, head.foreign) == (note, True)
    assert delta_log.notes(opened(lake), 0)[-1] == note
    assert delta_log.notes(opened(lake), 1) == [None] * (delta_log.RECENT + 1)


def test_entries_that_were_cleaned_up_count_as_unknown(
    delta: DeltaTable, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Note("one")
    write(lake, note)
    write(lake, note)
    assert delta_log.notes(opened(lake), 0) == [note, note]
    monkeypatch.setattr(delta_log, "_history", lambda _: [(2, "WRITE", note)])
    assert delta_log.notes(opened(lake), 0) == [None, note]
    assert delta_log.notes(opened(lake), 1) == [note]


def test_restore_counts_after_its_version_only(delta: DeltaTable, lake: Lake) -> None:
    for x in (1, 2):
        write(lake, None, x)
    assert not delta_log.restored(opened(lake))
    opened(lake).restore(1)
    write(lake, None, 3)
    found = opened(lake)
    assert [delta_log.restored(found, since) for since in (-1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]


def test_forbidden_feature_is_refused_with_the_way_out(
    delta: DeltaTable, lake: Lake
) -> None:
    entry = Path(lake.location(TABLE)) / "_delta_log" / f"{1:020}.json"
    features = {
        "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors"],
    }
    entry.write_text(
        json.dumps(
            {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
        )
        + "\n"
    )
    with pytest.raises(InvalidLakeError, match="gold.t uses deletionVectors") as caught:
        delta_log.open_table(lake, TABLE)
    assert "DROP FEATURE" in caught.value.next_step


@pytest.mark.parametrize(
    "value", ["0001-01-01 (BC)", "20000-01-01", "+20000-01-01", "x", None]
)
def test_table_of_a_partition_value_that_is_no_date_is_damaged(
    value: Optional[str], delta: DeltaTable, lake: Lake
) -> None:
    action = AddAction("part-0.parquet", 1, {"p": value}, 0, True, "{}")
    try:
        delta.create_write_transaction([action], "append", delta.schema(), ["p"])
    except (DeltaError, ValueError):
        pass  # the commit exists, but delta-rs cannot read it
    with pytest.raises(
        DamagedTableError, match="gold.t is damaged: .*/gold/t cannot be read: "
    ):
        delta_log.open_table(lake, TABLE)
    assert delta_log.load(lake, TABLE, 0).version() == 0


def test_table_of_a_column_name_with_nul_is_damaged(
    delta: DeltaTable, lake: Lake
) -> None:
    delta.alter.add_columns([Field("a\0b", PrimitiveType("string"))])
    with pytest.raises(
        DamagedTableError, match="the column name 'a.x00b' has the character NUL"
    ):
        delta_log.open_table(lake, TABLE)


def test_place_that_cannot_be_reached_is_no_damage(
    lake: Lake, delta: DeltaTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Generic S3 error: Error performing GET: connection refused"
    for error in (DeltaError(said), OSError("Permission denied")):

        def unreachable(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched, pytest.raises(StorageError):
            patched.setattr(delta_log, "DeltaTable", unreachable)
            delta_log.open_table(lake, TABLE)


def test_damaged_log_is_damage_and_a_schema_is_for_spark(
    delta: DeltaTable, lake: Lake
) -> None:
    (Path(lake.location(TABLE)) / "_delta_log" / f"{0:020}.json").write_text("{")
    with pytest.raises((DamagedTableError, DamagedLogError), match="gold/t"):
        delta_log.open_table(lake, TABLE)
    with pytest.raises(InvalidLakeError, match="is a schema"):
        delta_log.open_table(Lake("schema", "main.shop"), TABLE)
