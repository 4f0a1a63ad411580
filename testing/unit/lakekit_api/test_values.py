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
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("timestamp", "2013-01-01T12:00:00+99:00"),
    ],
)
def test_other_text_is_refused_with_what_was_expected(kind: Type, text: str) -> None:
    with pytest.raises(ValueError, match=f"^is not an? {kind} "):
        values.parse(kind, text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "x"),
        ("int", 3),
        ("boolean", False),
        ("double", 0.1),
        ("double", math.inf),
        ("date", datetime.date(2013, 1, 1)),
        ("timestamp", datetime.datetime(2013, 1, 1, 12, 0, 0, 1)),
        ("timestamp", None),
    ],
)
def test_value_comes_back_from_a_cursor_as_it_was(kind: Type, value: Any) -> None:
    assert (
        values.restore(kind, values.unpack(values.pack(values.write(value)))) == value
    )


def test_double_that_is_no_number_comes_back() -> None:
    assert math.isnan(values.restore("double", values.write(math.nan)))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int", "3"), ("int", True), ("int", 2**40), ("double", 1), ("date", 5)],
)
def test_value_that_no_cursor_of_ours_holds_is_refused(kind: Type, value: Any) -> None:
    with pytest.raises(ValueError, match="is not a"):
        values.restore(kind, value)


def test_json_says_instants_in_utc_and_null_for_no_number() -> None:
    body = {"at": datetime.datetime(2013, 1, 1, 12), "ratio": math.nan}
    assert values.to_json(body) == b'{"at":"2013-01-01T12:00:00Z","ratio":null}'


@pytest.mark.parametrize("word", ["", "!", "\u00e9", "AAAA", "W10=W10="])
def test_word_that_was_not_packed_is_refused(word: str) -> None:
    with pytest.raises(ValueError):
        values.unpack(word)
