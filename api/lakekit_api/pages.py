"""Sorting and keyset pagination of a table's rows.

A page ends with a cursor: the values of the last row's sort columns, and the table's
version. The next page starts after those values and reads the same version, so no row
is repeated or missing if the table changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from lakekit.declarations.tables import Column, Table
from lakekit.engines.duckdb.statements import name
from lakekit_api import values
from lakekit_api.errors import InvalidParameterError
from lakekit_api.filters import Filter, filters, once, read_parameters, where

LARGEST_VERSION = 2**63 - 1
NO_CURSOR = (
    "This value of `after` is not valid for this table and sort order. Use the `after`"
    " of the previous page's `next`, or omit it."
)


@dataclass(frozen=True)
class Order:
    """One sort column. Missing values are last in both directions."""

    column: Column
    descending: bool

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.column.name}"

    def sql(self) -> str:
        return (
            f"{name(self.column.name)} {'DESC' if self.descending else 'ASC'}"
            " NULLS LAST"
        )


@dataclass(frozen=True)
class Cursor:
    """The start of a page: after the row with these values of the sort columns, in this
    version of the table.
    """

    version: int
    edition: str
    after: Tuple[Any, ...]


@dataclass(frozen=True)
class Page:
    """A parsed request for a page."""

    conditions: Tuple[str, ...]
    bound: Tuple[Any, ...]
    order: Tuple[Order, ...]
    limit: int
    version: Optional[int]
    cursor: Optional[Cursor]

    def sql(self, relation: str, columns: Sequence[Column]) -> str:
        """Return the query over a relation of the store.

        The query returns one row more than the page, which shows whether there is a
        next page. The limit is a validated number in the SQL: with a bound limit,
        DuckDB would sort all rows instead of only finding the first.
        """
        conditions = list(self.conditions)
        if self.cursor is not None:
            conditions.append(_beyond(self.order, self.cursor.after)[0])
        chosen = ", ".join(name(column.name) for column in columns)
        filtered = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(each.sql() for each in self.order)
        return (
            f"SELECT {chosen} FROM {name(relation)}{filtered} ORDER BY {order} LIMIT"
            f" {int(self.limit) + 1}"
        )

    def values(self) -> List[Any]:
        """Return the values to bind to the query's placeholders, in order."""
        after = [] if self.cursor is None else _beyond(self.order, self.cursor.after)[1]
        return [*self.bound, *after]


class Paging:
    """Parses requests for the rows of one table."""

    def __init__(self, table: Table, limit: int, max_limit: int) -> None:
        self.table, self.limit, self.max_limit = table, limit, max_limit
        self._columns = {column.name: column for column in table.columns}
        self.filters: Mapping[str, Filter] = filters(table)
        self._known = ("sort", "limit", "after", "version", *self.filters)

    def read(self, query: bytes) -> Page:
        """Parse a query string. Raises InvalidParameterError."""
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
                "after continues a page of another version; leave version out.",
            )
        assert limit is not None
        return Page(tuple(conditions), tuple(bound), order, limit, version, cursor)

    def cursor(self, page: Page, version: int, edition: str, row: Sequence[Any]) -> str:
        """Return the cursor of the page after the page that ends with this row."""
        at = {column.name: place for place, column in enumerate(self.table.columns)}
        last = [values.write(row[at[order.column.name]]) for order in page.order]
        return values.pack([version, edition, _spell(page.order), last])

    def _order(self, words: Sequence[str]) -> Tuple[Order, ...]:
        """Return the requested sort columns, followed by the key columns that are not
        among them, so that the order of rows is always total.
        """
        orders: Dict[str, Order] = {}
        for word in words:
            descending = word.startswith("-")
            column = word[1:] if descending else word
            if column not in self._columns:
                raise InvalidParameterError(
                    "sort",
                    "sort takes columns of the table, with commas; -COLUMN descends.",
                )
            orders.setdefault(column, Order(self._columns[column], descending))
        for column in self.table.key or self._columns:
            orders.setdefault(column, Order(self._columns[column], False))
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
                parameter, f"{parameter} is a whole number from {least} to {most}."
            )
        return int(text)

    def _cursor(self, order: Tuple[Order, ...], word: str) -> Cursor:
        try:
            version, edition, spelt, after = values.unpack(word)
            if (
                spelt != _spell(order)
                or len(after) != len(order)
                or type(version) is not int
                or version < 0
            ):
                raise ValueError("of another sorting")
            restored = [
                values.restore(each.column.type, value)
                for each, value in zip(order, after)
            ]
            return Cursor(version, str(edition), tuple(restored))
        except (ValueError, TypeError):
            raise InvalidParameterError("after", NO_CURSOR, 404) from None


def _spell(order: Sequence[Order]) -> str:
    return ",".join(map(str, order))


def _beyond(order: Sequence[Order], after: Sequence[Any]) -> Tuple[str, List[Any]]:
    """Return SQL that is true for the rows after a given row: rows that are equal in
    the first columns and later in the next column.
    """
    either: List[str] = []
    bound: List[Any] = []
    equal: List[str] = []
    equals: List[Any] = []
    for each, value in zip(order, after):
        column = name(each.column.name)
        if value is not None:  # a missing value is followed only by missing values
            later = f"{column} {'<' if each.descending else '>'} ?"
            later = later if each.column.required else f"({later} OR {column} IS NULL)"
            either.append(" AND ".join([*equal, later]))
            bound += [*equals, value]
        equal.append(f"{column} IS NOT DISTINCT FROM ?")
        equals.append(value)
    return f"({' OR '.join(f'({each})' for each in either) or 'false'})", bound
