"""What the images' exercises say of rows that are not as they should be."""

from __future__ import annotations

import json
from dataclasses import asdict

from lake_ci.tools.exercises import different
from lakekit.comparison import TableDiff


def test_tables_that_differ_are_named_and_no_others() -> None:
    same = TableDiff("silver.flights", 10, 10, 0, 0, 0, {}, ())
    other = TableDiff("gold.busiest_hours", 3, 4, 1, 2, 3, {"cancelled": 3}, ())
    said = json.loads(json.dumps({"tables": [asdict(same), asdict(other)]}))
    assert different(said) == "gold.busiest_hours: 1 missing, 2 more, 3 changed"
