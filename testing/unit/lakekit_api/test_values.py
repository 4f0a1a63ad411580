from __future__ import annotations

import datetime
import math
from typing import Any

import pytest

from lakekit.declarations.tables import Type
from lakekit_api import values


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " as it is ", " as it is "),
        ("boolean", "True", True),
        ("int", "-2147483648", -(2**31)),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("double", "1e3", 1000.0),
        ("date", "2012-02-29", datetime.date(2012, 2, 29)),
        ("timestamp", "2013-01-01T12:00:00Z", datetime.datetime(2013, 1, 1, 12)),
        (
            "timestamp",
            "2013-01-01 12:00:00.5+02:00",
            datetime.datetime(2013, 1, 1, 10, 0, 0, 500_000),
        ),
        ("timestamp", "9999-12-31T23:59:59-05:00", "10000-01-01 04:59:59.000000"),
        ("timestamp", "0001-01-01T00:00:00+14:00", "0001-12-31 (BC) 10:00:00.000000"),
        ("timestamp", "-000044-03-15T12:00:00Z", "0045-03-15 (BC) 12:00:00.000000"),
        ("timestamp", "+009999-12-31T00:00:00Z", datetime.datetime(9999, 12, 31)),
        ("date", "0000-02-29", "0001-02-29 (BC)"),
        ("date", "+5881579-12-31", "5881579-12-31"),
    ],
)
def test_text_of_the_declared_type_is_a_value(
    kind: Type, text: str, value: Any
) -> None:
    assert values.parse(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("boolean", "yes"),
        ("int", "2147483648"),
        ("int", "2.5"),
        ("int", "\u0661"),
        ("bigint", "9" * 5000),
        ("double", "nan"),
        ("double", "1e999"),
        ("date", "2013-02-29"),
        ("date", "2013"),
        ("timestamp", "2013-01-01T12:00:00"),
        ("timestamp", "+300000-01-01T00:00:00Z"),
        ("timestamp", "+010000-01-01T00:00:00"),
        ("date", "-5877641-01-01"),
        ("date", "+010001-02-29"),
        ("timestamp", "2013-01-01T12:00:00+99:00"),
    ],
)
def test_other_text_is_refused_with_what_was_expected(kind: Type, text: str) -> None:
    with pytest.raises(ValueError, match=f"^is not an? {kind} "):
        values.parse(kind, text)


def test_json_says_instants_in_utc_and_null_for_no_number() -> None:
    body = {"at": datetime.datetime(2013, 1, 1, 12), "ratio": math.nan}
    assert values.to_json(body) == b'{"at":"2013-01-01T12:00:00Z","ratio":null}'
