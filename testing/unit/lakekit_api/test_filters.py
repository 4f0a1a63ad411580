from __future__ import annotations

from typing import Any, List

import pytest

from lakekit_api.errors import InvalidParameterError
from lakekit_api.filters import MOST_PARAMETERS, filters, read_parameters, where
from testing.unit.lakekit_api.trips import TRIPS

KNOWN = filters(TRIPS)


def ask(query: str) -> Any:
    return where(KNOWN, read_parameters(query.encode(), list(KNOWN)))


@pytest.mark.parametrize(
    ("query", "conditions", "bound"),
    [
        ("code=a", ['"code" IN (?)'], ["a"]),
        ("code=a&code=b", ['"code" IN (?, ?)'], ["a", "b"]),
        ("n.ge=1&n.lt=3", ['"n" >= ?', '"n" < ?'], [1, 3]),
        ("n.null=true", ['"n" IS NULL'], []),
        ("n.null=false", ['"n" IS NOT NULL'], []),
        ("version.eq=7", ['"version" IN (?)'], [7]),
        ("code=%27%3B+drop+table+x", ['"code" IN (?)'], ["'; drop table x"]),
        ("", [], []),
    ],
)
def test_parameter_becomes_a_condition_with_bound_values(
    query: str, conditions: List[str], bound: List[Any]
) -> None:
    assert ask(query) == (conditions, bound)


@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("cod=a", "cod", "no such parameter. Did you mean code?"),
        ("n=x", "n", "n: the value is not an int"),
        ("n.ge=1&n.ge=2", "n.ge", "occurs 2 times"),
        ("n.null=maybe", "n.null", "true or false"),
        ("day.null=true", "day.null", "no such parameter"),
        ("ok.ge=true", "ok.ge", "no such parameter"),
        ("code=" + "x" * 257, "code", "longer than 256"),
        ("&".join(["code=a"] * 101), "code", "more than 100 times"),
        ("&".join(["code=a"] * (MOST_PARAMETERS + 1)), "", "more than 200 parameters"),
    ],
)
def test_parameter_that_means_nothing_is_named(
    query: str, parameter: str, said: str
) -> None:
    with pytest.raises(InvalidParameterError, match=".") as caught:
        ask(query)
    assert caught.value.parameter == parameter and said in caught.value.detail


def test_every_column_can_be_asked_for() -> None:
    assert {each.column.name for each in KNOWN.values()} == {
        column.name for column in TRIPS.columns
    }
    assert "version" not in KNOWN
