"""What a deploy did to the tables, and to the packages of the cluster, is compared to
the last digit.
"""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.deploy.ledger import RunOfOurs
from lake_ci.deploy.tables import differences, restore_arguments, strangers


def gold(rows: int = 3, **sums: str | None) -> dict[str, Any]:
    return {"gold_sales": {"rows": rows, "sums": sums}}


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        (gold(price="7.5"), gold(price="7.50"), []),
        (gold(price="7.5"), gold(price="7.500000000001"), []),
        (gold(price=None), gold(price=None), []),
        (
            gold(price="7.5"),
            gold(price="7.6"),
            ["gold_sales.price adds up to 7.6, the embedded run's to 7.5"],
        ),
        (
            gold(price="7.5"),
            gold(price=None),
            ["gold_sales.price adds up to None, the embedded run's to 7.5"],
        ),
        (gold(3), gold(4), ["gold_sales holds 4 rows, the embedded run 3"]),
        (gold(), {}, ["gold_sales is not there"]),
        ({}, gold(), []),
        (gold(price="12345678901234567890"), gold(price="12345678901234567890"), []),
    ],
)
def test_gold_is_compared_by_rows_and_sums(
    expected: dict[str, Any], found: dict[str, Any], words: list[str]
) -> None:
    assert differences(expected, found) == words


def test_only_the_package_and_what_it_needs_may_change() -> None:
    before = {
        "packages": {"numpy": "1", "shop": "1", "click": "7", "gone": "1"},
        "own": ["shop", "click"],
    }
    after = {
        "packages": {"numpy": "2", "shop": "2", "click": "8", "new": "1"},
        "own": ["shop", "click"],
    }
    assert strangers(before, after) == [
        "gone: 1 before, gone now",
        "new: not there before, 1 now",
        "numpy: 1 before, 2 now",
    ]


def test_restore_is_told_versions_and_the_time_of_our_runs() -> None:
    words = restore_arguments(
        {"b": 2, "a": 1}, [RunOfOurs(7, 100, 200, (8, 9)), RunOfOurs(10, 300, 0)]
    )
    assert words == [
        "--table",
        "a=1",
        "--table",
        "b=2",
        "--run",
        "7,8,9:100:200",
        "--run",
        "10:300:0",
    ]
