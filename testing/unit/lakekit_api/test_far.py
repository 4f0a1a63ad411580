from __future__ import annotations

import dataclasses
import datetime
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from lakekit.declarations.tables import Column, Table, TableSet, Type
from lakekit_api import Settings, far
from testing.unit.lakekit_api.trips import ARROW, write_as_is

SPANS = Table(
    "gold.spans",
    (
        Column("id", "bigint", required=True),
        Column("day", "date"),
        Column("until", "timestamp"),
        Column("note", required=True),
    ),
    sql="spans.sql",
    key=("note", "id"),
)
LONG = "x" * 60_000
# Dates in days since 1970 or instants in microseconds since 1970, and their JSON.
ROWS = [
    (1, 0, 0, "1970-01-01", "1970-01-01T00:00:00Z"),
    (2, 2932896, 253402300799999999, "9999-12-31", "9999-12-31T23:59:59.999999Z"),
    (3, 2932897, 253402318799000000, "+010000-01-01", "9999-12-31T23:59:59-05:00"),
    (
        4,
        -719163,
        -62135596800000001,
        "+000000-12-31",
        "0001-01-01T00:59:59.999999+01:00",
    ),
    (5, -735160, 253402387199000000, "-000043-03-15", "+010000-01-01T23:59:59Z"),
    (6, 2**31 - 1, 2**63 - 1, "+5881580-07-11", "+294247-01-10T04:00:54.775807Z"),
    (7, None, None, None, None),
]


@pytest.fixture
def client(
    connect: Callable[..., TestClient],
    settings: Settings,
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TestClient:
    """Return a client of a service whose table has long texts, and dates and instants
    outside the years 1 to 9999.
    """
    module = sys.modules["declared_for_tests"]
    monkeypatch.setattr(module, "TABLES", TableSet((SPANS,), Path()))
    integers: List[Any] = [pa.int64(), pa.int32(), pa.int64(), pa.string()]
    columns = zip(*((*row[:3], LONG) for row in ROWS))
    arrays = [
        pa.array(values, kind).cast(ARROW[column.type])
        for values, kind, column in zip(columns, integers, SPANS.columns)
    ]
    names = [column.name for column in SPANS.columns]
    write_as_is(lake, SPANS, pa.table(arrays, names))
    return connect(dataclasses.replace(settings, max_url=512))


def walk(client: TestClient, path: str) -> List[Dict[str, Any]]:
    rows: List[Dict[str, Any]] = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200 and len(path) <= 512, answer.text
        rows += answer.json()["rows"]
        path = answer.json()["next"]
    return rows


@pytest.mark.parametrize("sort", ["", "until", "-until", "day,-note", "-day,until"])
def test_pages_of_far_and_long_values_are_all_rows(
    sort: str, client: TestClient
) -> None:
    sorting = f"sort={sort}&" if sort else ""
    rows = walk(client, f"/gold/spans?{sorting}limit=1")
    assert sorted(row["id"] for row in rows) == [row[0] for row in ROWS]
    shown = {row["id"]: (row["day"], row["until"]) for row in rows}
    assert shown == {row[0]: row[3:] for row in ROWS}
    order = [row["id"] for row in rows]
    if sort == "until":
        assert order == [4, 1, 2, 3, 5, 6, 7]
    if sort == "-until":
        assert order == [6, 5, 3, 2, 1, 4, 7]


@pytest.mark.parametrize("row", ROWS[:5], ids=str)
def test_value_of_a_row_is_taken_as_a_filter(row: Any, client: TestClient) -> None:
    for query in ({"day": row[3]}, {"until": row[4]}):
        found = client.get(f"/gold/spans?{urlencode(query)}").json()["rows"]
        assert [each["id"] for each in found] == [row[0]]


@pytest.mark.parametrize(
    ("kind", "stored", "json"),
    [
        ("date", "2013-01-31", datetime.date(2013, 1, 31)),
        ("date", "0001-02-29 (BC)", "+000000-02-29"),
        ("date", "-infinity", "-5877641-06-24"),
        (
            "timestamp",
            "2013-01-31 17:00:00.5",
            datetime.datetime(2013, 1, 31, 17, 0, 0, 500_000),
        ),
        ("timestamp", "10000-01-01 00:00:00", "9999-12-31T23:00:00-01:00"),
        ("timestamp", "10000-01-01 22:30:00", "9999-12-31T23:30:00-23:00"),
        ("timestamp", "10000-01-01 23:00:00", "+010000-01-01T23:00:00Z"),
        ("timestamp", "0001-12-31 (BC) 00:30:00", "+000000-12-31T00:30:00Z"),
        ("timestamp", "0001-12-31 (BC) 01:00:00", "0001-01-01T00:00:00+23:00"),
        ("timestamp", "-infinity", "-290308-12-21T19:59:05.224193Z"),
    ],
)
def test_stored_text_has_one_json_value(kind: Type, stored: str, json: Any) -> None:
    assert far.to_json(kind, stored) == json
