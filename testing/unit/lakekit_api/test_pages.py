from __future__ import annotations

import math
from typing import Any, List

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakekit.declarations.tables import Column, Table
from lakekit_api import values
from lakekit_api.errors import InvalidParameterError
from lakekit_api.pages import Paging
from testing.unit.lakekit_api.trips import TRIPS

PAGING = Paging(TRIPS, 10, 100)
FREE = Table(
    "gold.free",
    (Column("id", "int", required=True), Column("a", "int"), Column("b", "double")),
    key=("id",),
)


def test_key_completes_the_order() -> None:
    page = PAGING.read(b"sort=-n,code,n")
    assert [str(order) for order in page.order] == ["-n", "code", "day"]
    assert page.sql("r", TRIPS.columns[:1]).endswith(
        'FROM "r" ORDER BY "n" DESC NULLS LAST, "code" ASC NULLS LAST, "day" ASC NULLS'
        " LAST LIMIT 11"
    )
    assert page.values() == []


@pytest.mark.parametrize(
    ("query", "parameter", "status"),
    [
        ("sort=nn", "sort", 400),
        ("sort=", "sort", 400),
        ("sort=n;drop", "sort", 400),
        ("limit=0", "limit", 400),
        ("limit=101", "limit", 400),
        ("limit=1e1", "limit", 400),
        ("limit=%C2%B2", "limit", 400),
        ("limit=1&limit=2", "limit", 400),
        ("version=-1", "version", 400),
        ("after=", "after", 404),
        ("after=e30", "after", 404),
        (f"after={values.pack([1, 'x', 'day,code', ['2013-01-01']])}", "after", 404),
        (f"after={values.pack([1, 'x', 'day,code', ['2013-01-01', 5]])}", "after", 404),
        (
            f"after={values.pack([-1, 'x', 'day,code', ['2013-01-01', 'a']])}",
            "after",
            404,
        ),
        (
            f"sort=n&after={values.pack([1, 'x', 'day,code', ['2013-01-01', 'a']])}",
            "after",
            404,
        ),
        (
            f"version=2&after={values.pack([1, 'x', 'day,code', ['2013-01-01', 'a']])}",
            "version",
            400,
        ),
    ],
)
def test_page_that_cannot_be_is_refused(
    query: str, parameter: str, status: int
) -> None:
    with pytest.raises(InvalidParameterError, match=".") as caught:
        PAGING.read(query.encode())
    assert (caught.value.parameter, caught.value.status) == (parameter, status)


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 2)),
        st.one_of(st.none(), st.sampled_from([0.0, -1.5, math.inf, math.nan])),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(
    rows=ROWS,
    sort=st.lists(st.sampled_from(["a", "-a", "b", "-b", "id", "-id"]), max_size=3),
    limit=st.integers(1, 5),
)
def test_pages_one_after_another_are_all_rows_in_order(
    rows: List[Any], sort: List[str], limit: int
) -> None:
    paging = Paging(FREE, limit, 100)
    sorting = f"sort={','.join(sort)}&" if sort else ""
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE "r" (id INTEGER, a INTEGER, b DOUBLE)')
        numbered = [[number, a, b] for number, (a, b) in enumerate(rows)]
        if numbered:
            connection.executemany('INSERT INTO "r" VALUES (?, ?, ?)', numbered)
        whole = paging.read(f"{sorting}limit=100".encode())
        expected = connection.execute(
            whole.sql("r", FREE.columns), whole.values()
        ).fetchall()
        found: List[Any] = []
        query = sorting
        while True:
            page = paging.read(query.encode())
            got = connection.execute(
                page.sql("r", FREE.columns), page.values()
            ).fetchall()
            found += got[:limit]
            if len(got) <= limit:
                break
            query = f"{sorting}after={paging.cursor(page, 0, 'x', got[limit - 1])}"
    assert [row[0] for row in found] == [row[0] for row in expected]
    assert len(found) == len(rows)
