"""Sorting and keyset pagination of a table's rows.

A page ends with a cursor, which contains the position of the page's last row in one
version of the table. The next page starts after this row and reads this version. So no
row is repeated or skipped if the table changes between two requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote_plus

from lakekit.declarations.tables import Column, Table
from lakekit.engines.duckdb.statements import name
from lakekit_api.cursors import (
    LARGEST,
    Cursor,
    order_digest,
    position_column,
    unpack,
)
from lakekit_api.errors import InvalidParameterError, ProblemError
from lakekit_api.filters import (
    Filter,
    filters,
    normalize,
    once,
    read_parameters,
    where,
)

LARGEST_VERSION = LARGEST
PAGE = name("page")
LAST = name("last row")
NO_CURSOR = (
    "This value of `after` is not valid for this table and sort order. Use the `after`"
    " of the previous page's `next`, or omit `after`."
)


@dataclass(frozen=True)
class Order:
    """One sort column. Missing values are last in both sort directions."""

    column: Column
    descending: bool

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.column.name}"

    def sql(self) -> str:
        """Return this column's expression for ORDER BY."""
        direction = "DESC" if self.descending else "ASC"
        return f"{PAGE}.{name(self.column.name)} {direction} NULLS LAST"

    def follows(self, otherwise: str) -> str:
        """Return an SQL condition for the rows after the last row of the previous page.

        The condition compares the values of this column.

        For rows whose value equals the value of the last row, the condition is
        `otherwise`.
        """
        column, last = (f"{of}.{name(self.column.name)}" for of in (PAGE, LAST))
        later = f"{column} {'<' if self.descending else '>'} {last}"
        if not self.column.required:
            later = f"{later} OR ({column} IS NULL AND {last} IS NOT NULL)"
        return f"({later} OR ({column} IS NOT DISTINCT FROM {last} AND {otherwise}))"


@dataclass(frozen=True)
class Page:
    """A parsed request for a page.

    Rows with equal values in the columns of `order` are ordered by their positions. The
    positions follow the order of the table's key.
    """

    conditions: Tuple[str, ...]
    bound: Tuple[Any, ...]
    order: Tuple[Order, ...]
    limit: int
    version: Optional[int]
    cursor: Optional[Cursor]

    def sql(
        self, relation: str, columns: Sequence[Column], far: Collection[str] = ()
    ) -> str:
        """Return the SQL query for the rows of the page: all columns, and the position.

        Values of the columns in `far` are returned as text. If there is a next page,
        the query also returns the first row of the next page. The limit is a validated
        number in the SQL text, because DuckDB would sort all rows if the limit were a
        bound parameter.
        """
        table, place = name(relation), name(position_column(columns))
        filtered = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        rows = f"{table} AS {PAGE}{filtered}"
        if self.cursor is not None:
            position = int(self.cursor.position)
            last = f"(SELECT * FROM {table} WHERE {place} = {position}) AS {LAST}"
            follows = f"{PAGE}.{place} > {position}"
            for each in reversed(self.order):
                follows = each.follows(follows)
            rows = (
                f"(SELECT * FROM {table}{filtered}) AS {PAGE}, {last} WHERE {follows}"
            )
        chosen = [
            (
                f"CAST({PAGE}.{name(c.name)} AS VARCHAR)"
                if c.name in far
                else f"{PAGE}.{name(c.name)}"
            )
            for c in columns
        ]
        order = [*(each.sql() for each in self.order), f"{PAGE}.{place}"]
        return (
            f"SELECT {', '.join(chosen)}, {PAGE}.{place} FROM {rows}"
            f" ORDER BY {', '.join(order)} LIMIT {int(self.limit) + 1}"
        )

    def values(self) -> List[Any]:
        """Return the values to bind to the query's placeholders, in order."""
        return list(self.bound)

    def next(self, version: int, edition: str, position: int) -> str:
        """Return the cursor for the next page. `position` is the position of the last
        row of this page.
        """
        return Cursor(version, position, edition, _digest(self.order)).pack()


class Paging:
    """Parses requests for the rows of one table."""

    def __init__(self, table: Table, limit: int, max_limit: int) -> None:
        self.table, self.limit, self.max_limit = table, limit, max_limit
        self._columns = {column.name: column for column in table.columns}
        self.filters: Mapping[str, Filter] = filters(table)
        self._known = ("sort", "limit", "after", "version", *self.filters)

    def read(self, query: bytes) -> Page:
        """Parse a query string. Raises InvalidParameterError if a parameter is not
        valid.
        """
        given = read_parameters(query, self._known)
        conditions, bound = where(self.filters, given)
        order = self._order(
            once("sort", given["sort"]).split(",") if "sort" in given else ()
        )
        limit = self._whole(given, "limit", self.limit, 1, self.max_limit)
        version = self._whole(given, "version", None, 0, LARGEST_VERSION)
        cursor = (
            self._cursor(order, once("after", given["after"]))
            if "after" in given
            else None
        )
        if cursor is not None and version not in (None, cursor.version):
            raise InvalidParameterError(
                "version",
                "`after` belongs to a page of another version; omit `version`.",
            )
        assert limit is not None
        return Page(tuple(conditions), tuple(bound), order, limit, version, cursor)

    def _order(self, words: Sequence[str]) -> Tuple[Order, ...]:
        """Return the requested sort columns."""
        orders: Dict[str, Order] = {}
        for word in words:
            descending = word.startswith("-")
            column = word[1:] if descending else word
            if column not in self._columns:
                raise InvalidParameterError(
                    "sort",
                    "sort must be columns of the table, separated by commas;"
                    " -COLUMN sorts in descending order.",
                )
            orders.setdefault(column, Order(self._columns[column], descending))
        return tuple(orders.values())

    def _whole(
        self,
        given: Mapping[str, List[str]],
        parameter: str,
        default: Optional[int],
        least: int,
        most: int,
    ) -> Optional[int]:
        if parameter not in given:
            return default
        text = once(parameter, given[parameter])
        if not (
            text.isascii()
            and text.isdigit()
            and len(text) < 20
            and least <= int(text) <= most
        ):
            raise InvalidParameterError(
                parameter, f"{parameter} must be a whole number from {least} to {most}."
            )
        return int(text)

    def _cursor(self, order: Tuple[Order, ...], text: str) -> Cursor:
        try:
            cursor = unpack(text)
        except ValueError:
            raise NoCursorError from None
        if cursor.order != _digest(order):
            raise NoCursorError
        return cursor


class NoCursorError(InvalidParameterError):
    """The value of `after` is not a cursor for this table and sort order."""

    def __init__(self) -> None:
        super().__init__("after", NO_CURSOR, 404)


def _digest(order: Sequence[Order]) -> bytes:
    return order_digest(",".join(map(str, order)))


def next_link(path: str, query: bytes, cursor: str, longest: int) -> str:
    """Return the URL of the next page. The URL has the cursor, and the filters, the
    sort order and the limit of this request.

    Raises ProblemError 414 if the URL is longer than `longest` bytes.
    """
    kept = [
        parameter
        for parameter in normalize(query).split("&")
        if parameter
        and unquote_plus(parameter.partition("=")[0]) not in ("after", "version")
    ]
    link = f"{path}?{'&'.join([*kept, f'after={cursor}'])}"
    if len(link) > longest:
        raise ProblemError(
            414,
            f"The URL of the next page would be longer than {longest} bytes;"
            f" make the URL {len(link) - longest} bytes shorter.",
        )
    return link
