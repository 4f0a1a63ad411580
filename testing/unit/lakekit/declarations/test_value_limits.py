from __future__ import annotations

from typing import Any, List

import pytest

from lakekit.declarations import value_limits
from lakekit.declarations.tables import ORIGIN, Column, Table
from lakekit.engines.duckdb.engine import EmbeddedEngine

TABLE = Table(
    "silver.visits",
    (
        Column("port", required=True),
        Column("note"),
        Column("day", "date"),
        Column("seen", "timestamp"),
        Column("n", "bigint"),
        *ORIGIN,
    ),
    partition="port",
)
DAY = Table("silver.days", (Column("day", "date", required=True),), partition="day")


def rules(
    engine: EmbeddedEngine, port: str, day: str = "null", seen: str = "null"
) -> List[Any]:
    """Return the rules that a row violates. `port` is a text; all other values are SQL
    expressions.
    """
    typed = f"cast({day} as date) as day, cast({seen} as timestamptz) as seen"
    quoted = port.replace("'", "''").replace("\0", "' || chr(0) || '")
    row = f"select '{quoted}' as port, {typed}"
    found = value_limits.refusal_rules(TABLE)
    return [
        rule for rule, sql in found if engine.query(f"select {sql} from ({row})")[0][0]
    ]


def test_rules_name_ranges_and_the_string_partition_only() -> None:
    names = [rule for rule, _ in value_limits.refusal_rules(TABLE)]
    assert names == ["partition: port", "range: day", "range: seen"]
    assert [rule for rule, _ in value_limits.refusal_rules(DAY)] == ["range: day"]


@pytest.mark.parametrize(
    "port",
    ["plain", " ", ".", "..", "nulls", "a/b", "tab\tnew\nline\x7f\x85", "%00", "é" * 41]
    + ["-._~" * 62 + "Az", "x" * 250, "'"],
)
def test_value_that_can_name_a_folder_is_taken(
    engine: EmbeddedEngine, port: str
) -> None:
    assert rules(engine, port) == []


@pytest.mark.parametrize(
    "port",
    [
        "a\0b",
        "null",
        "NULL",
        "__HIVE_DEFAULT_PARTITION__",
        "x" * 251,
        "é" * 42,
        "/" * 84,
        "😀" * 21,
    ],
)
def test_value_that_cannot_name_a_folder_is_refused(
    engine: EmbeddedEngine, port: str
) -> None:
    assert rules(engine, port) == ["partition: port"]


@pytest.mark.parametrize(
    ("day", "broken"),
    [
        ("make_date(1, 1, 1)", []),
        ("make_date(9999, 12, 31)", []),
        ("make_date(0, 12, 31)", ["range: day"]),
        ("make_date(-44, 3, 15)", ["range: day"]),
        ("make_date(10000, 1, 1)", ["range: day"]),
        ("make_date(5881580, 1, 1)", ["range: day"]),
        ("'infinity'", ["range: day"]),
        ("null", []),
    ],
)
def test_day_outside_the_years_1_to_9999_is_refused(
    engine: EmbeddedEngine, day: str, broken: List[str]
) -> None:
    assert rules(engine, "x", day=day) == broken


@pytest.mark.parametrize(
    ("seen", "broken"),
    [
        ("'0001-01-01T00:00:00Z'", []),
        ("'9999-12-31T23:59:59.999999Z'", []),
        ("'0001-01-01T00:00:00+05:00'", ["range: seen"]),
        ("'9999-12-31T23:59:59-05:00'", ["range: seen"]),
    ],
)
def test_instant_is_judged_by_its_year_in_utc(
    engine: EmbeddedEngine, seen: str, broken: List[str]
) -> None:
    assert rules(engine, "x", seen=seen) == broken


def test_faults_count_each_kind_of_value(engine: EmbeddedEngine) -> None:
    values = "(''), ('a' || chr(0)), ('x')"
    engine.keep(
        "judged",
        f"select *, make_date(0, 1, 1) as day, now() as seen from (values {values})"
        " t(port)",
    )
    counts = [
        what.format(*engine.query(f"select count(*) filter ({sql}) from judged")[0])
        for what, sql in value_limits.faults(TABLE)
    ]
    assert counts == [
        "partition column port has 1 empty strings, which Delta reads as nulls",
        (
            "partition column port has 1 values that cannot name a folder "
            "(NUL, null, __hive_default_partition__, or more than 255 bytes)"
        ),
        "column day has 3 values outside the years 1 to 9999",
        "column seen has 0 values outside the years 1 to 9999",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("p=a/part-0.parquet", False),
        (f"p={'x' * 253}/f", False),
        (f"p={'x' * 254}/f", True),
    ],
)
def test_path_with_a_name_of_more_than_255_bytes_is_too_long(
    path: str, expected: bool
) -> None:
    assert value_limits.is_too_long(path) is expected
