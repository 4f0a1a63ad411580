"""Tests the summary of the tables that differ between two lakes."""

from __future__ import annotations

from testing.images.batch import different

EQUAL = {"table": "silver.flights", "rows_a": 10, "rows_b": 10}
SAME = {**EQUAL, "only_a": 0, "only_b": 0, "changed": 0, "columns": {}, "shape": []}


def test_tables_that_differ_are_named_and_no_others() -> None:
    other = {
        **SAME,
        "table": "gold.busiest_hours",
        "only_a": 1,
        "only_b": 2,
        "changed": 3,
    }
    assert (
        different({"tables": [SAME, {**other, "columns": {"cancelled": 3}}]})
        == "gold.busiest_hours: 1 missing, 2 more, 3 changed"
    )
