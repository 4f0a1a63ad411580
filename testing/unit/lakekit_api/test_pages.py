from __future__ import annotations

import math
from typing import Any, Dict, Iterator, List, Tuple

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from lakekit.declarations.tables import Column, Table
from lakekit.storage.lake import find_lake
from lakekit_api.cursors import LENGTH, Cursor, position_column, unpack
from lakekit_api.errors import InvalidParameterError, ProblemError
from lakekit_api.pages import Paging, next_link
from lakekit_api.snapshots import Reader
from testing.unit.lakekit_api.trips import ARROW, TRIPS, write_as_is

PAGING = Paging(TRIPS, 10, 100)
CURSOR = PAGING.read(b"sort=n").next(1, "0" * 12, 7)


def test_equal_rows_are_in_the_order_of_their_positions() -> None:
    page = PAGING.read(b"sort=-n,code,n")
    assert [str(order) for order in page.order] == ["-n", "code"]
    assert page.sql("r", TRIPS.columns[:1]).endswith(
        'FROM "r" AS "page" ORDER BY "page"."n" DESC NULLS LAST,'
        ' "page"."code" ASC NULLS LAST, "page"."position" LIMIT 11'
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
        (f"after={CURSOR}", "after", 404),
        (f"sort=-n&after={CURSOR}", "after", 404),
        (f"sort=n&after={CURSOR[:-1]}", "after", 404),
        (f"sort=n&after={CURSOR}A", "after", 404),
        (f"sort=n&after=!{CURSOR[1:]}", "after", 404),
        (f"sort=n&after=_{CURSOR[1:]}", "after", 404),
        (f"sort=n&after={CURSOR}&after={CURSOR}", "after", 400),
        (f"sort=n&version=2&after={CURSOR}", "version", 400),
    ],
)
def test_page_that_cannot_be_is_refused(
    query: str, parameter: str, status: int
) -> None:
    with pytest.raises(InvalidParameterError, match=".") as caught:
        PAGING.read(query.encode())
    assert (caught.value.parameter, caught.value.status) == (parameter, status)


@given(
    version=st.integers(0, 2**63 - 1),
    position=st.integers(0, 2**63 - 1),
    edition=st.binary(min_size=6, max_size=6),
    order=st.binary(min_size=6, max_size=6),
)
def test_cursor_is_restored_and_has_one_length(
    version: int, position: int, edition: bytes, order: bytes
) -> None:
    cursor = Cursor(version, position, edition.hex(), order)
    assert unpack(cursor.pack()) == cursor
    assert len(cursor.pack()) == LENGTH


def test_position_has_a_name_that_no_column_has() -> None:
    assert position_column(TRIPS.columns) == "position"
    taken = [Column("Position", "int"), Column("position_", "int")]
    assert position_column(taken) == "position__"


@pytest.mark.parametrize(
    ("query", "link"),
    [
        (b"", "/rows?after=C"),
        (b"a=1&after=B&b=2", "/rows?a=1&b=2&after=C"),
        (b"version=3&%61fter=B&version.eq=7", "/rows?version.eq=7&after=C"),
        (b"a=x+y%2Bz&a=%26", "/rows?a=x+y%2Bz&a=%26&after=C"),
        (b"a=\xc3\xa9&b=<>", "/rows?a=%C3%A9&b=%3C%3E&after=C"),
    ],
)
def test_next_link_repeats_the_request(query: bytes, link: str) -> None:
    assert next_link("/rows", query, "C", 100) == link


def test_next_link_that_would_be_refused_is_refused_at_once() -> None:
    query = b"code=" + b"x" * 80
    assert len(next_link("/rows", query, "C", 99)) == 99
    with pytest.raises(ProblemError, match="1 bytes shorter") as caught:
        next_link("/rows", query, "C", 98)
    assert caught.value.status == 414


EXTREMES: Dict[str, List[Any]] = {
    "string": ["", "a", "A", "\u00e9", "\U0001f600", "x" * 60_000, "\x01", "a\nb"],
    "boolean": [True, False],
    "int": [0, 1, -(2**31), 2**31 - 1],
    "bigint": [0, 7, -(2**63), 2**63 - 1],
    "double": [0.0, -1.5, 5e-324, 1.7e308, math.inf, -math.inf, math.nan],
    # Days since 1970, for the years 1970, 1, 9999, 10000 and -43, and for the limits.
    "date": [0, -719162, 2932896, 2932897, -735160, 2**31 - 1, -(2**31) + 1],
    # Microseconds since 1970, for the years 1970, 9999, 10000 and 1 B.C., and for the
    # limits.
    "timestamp": [
        0,
        253402300799999999,
        253402318799000000,
        -62135596800000001,
        2**63 - 1,
        -(2**63) + 1,
    ],
}


@st.composite
def tables(draw: Any) -> Tuple[Table, List[Dict[str, Any]]]:
    """Return a random declaration of a table, and rows of which some may be equal.

    The table may have a key. Even if a table has a key, several of its rows may have
    the same key, because only lakekit checks keys.
    """
    kinds = draw(st.lists(st.sampled_from(sorted(EXTREMES)), min_size=1, max_size=4))
    required = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    columns = tuple(
        Column(f"{'position' if number == 3 else 'c'}{number or ''}", kind, needed)
        for number, (kind, needed) in enumerate(zip(kinds, required))
    )
    key = draw(st.sampled_from([(), ("c",)]))
    values = {
        column.name: (
            st.sampled_from(EXTREMES[column.type])
            if column.required
            else st.one_of(st.none(), st.sampled_from(EXTREMES[column.type]))
        )
        for column in columns
    }
    rows = draw(st.lists(st.fixed_dictionaries(values), max_size=12))
    return Table("gold.free", columns, sql="free.sql", key=key), rows


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(find_lake(tmp_path_factory.mktemp("lake")), "1GB")
    yield reader
    reader.close()


def write_free(reader: Reader, table: Table, rows: List[Dict[str, Any]]) -> None:
    arrays = [
        pa.array([row[c.name] for row in rows], INTEGERS.get(c.type, ARROW[c.type]))
        for c in table.columns
    ]
    schema = pa.schema(
        [pa.field(c.name, ARROW[c.type], not c.required) for c in table.columns]
    )
    data = pa.Table.from_arrays(
        [array.cast(ARROW[c.type]) for array, c in zip(arrays, table.columns)],
        schema=schema,
    )
    write_as_is(reader.lake.path, table, data)


INTEGERS = {"date": pa.int32(), "timestamp": pa.int64()}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), table_and_rows=tables(), limit=st.integers(1, 5))
def test_following_next_returns_every_row_once_in_order(
    data: Any, table_and_rows: Any, limit: int, reader: Reader
) -> None:
    table, rows = table_and_rows
    names = [column.name for column in table.columns]
    words = st.sampled_from(names + [f"-{name}" for name in names])
    sort = data.draw(st.lists(words, max_size=3))
    write_free(reader, table, rows)
    head = reader.head(table)
    assert head is not None
    snapshot = reader.load(table, head)
    paging = Paging(table, limit, 100)
    query = f"sort={','.join(sort)}".encode() if sort else b""
    found: List[int] = []
    with reader.cursor() as cursor:
        page = paging.read(query)
        while True:
            sql = page.sql(snapshot.relation, table.columns, snapshot.far)
            got = cursor.execute(sql, page.values()).fetchall()
            found += [row[-1] for row in got[:limit]]
            if len(got) <= limit:
                break
            after = page.next(0, snapshot.edition, got[limit - 1][-1])
            link = next_link("", query, after, 8192)
            page = paging.read(link[1:].encode())
        order = [
            f'"{word.lstrip("-")}" {"DESC" if word[0] == "-" else "ASC"} NULLS LAST'
            for word in sort
        ]
        place = f'"{position_column(table.columns)}"'
        by = ", ".join([*order, *(f'"{c}" NULLS LAST' for c in table.key), place])
        expected = cursor.execute(
            f'SELECT {place} FROM "{snapshot.relation}" ORDER BY {by}'
        ).fetchall()
    assert found == [row[0] for row in expected]
    assert sorted(found) == list(range(len(rows)))
