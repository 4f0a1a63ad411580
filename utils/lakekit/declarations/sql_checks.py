"""Checks the SQL of a set of tables before any data is read: the SQL files, the syntax,
and the columns that predicates use.

Before the first commit, the engines also check types and the columns that queries
return (`lakekit.transforms.dry_run`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator, Sequence

from lakekit.declarations.sql_cache import SqlCache, cache_folder
from lakekit.declarations.tables import Table, TableSet
from lakekit.errors import DeclarationError, nearest

if TYPE_CHECKING:
    from sqlglot import exp

DELTA_WORDS = ("exists", "interval", "null", "struct", "trim")
"""Names that the SQL parser of delta-rs only reads as columns if they are quoted."""


def check_sql(tables: TableSet) -> None:
    """Check the SQL files and the predicates of all tables. The result is cached.

    Raises DeclarationError if an SQL file cannot be read or reads undeclared tables, or
    if a predicate has unknown columns. Raises UnsupportedSqlError for SQL that is not
    allowed.
    """
    queries = [tables.query(table) for table in tables]
    SqlCache(cache_folder(os.environ)).once(
        ["check", repr(tables.tables), queries], lambda: _check(tables, queries)
    )


def _check(tables: TableSet, queries: Sequence[str]) -> None:
    from lakekit.declarations import transpile

    for table, query in zip(tables, queries):
        if table.sql:
            with _at(table, str(tables.sql / table.sql)):
                transpile.parse_query(table.name, query, table.reads)
        for each in table.expectations:
            with _at(table, f"expectation {each.name!r}"):
                _check_predicate(table, each.sql)
        for constraint in table.constraints:
            with _at(table, f"constraint {constraint.name}"):
                _check_predicate(table, constraint.sql, quotes=False)


def _check_predicate(table: Table, sql: str, quotes: bool = True) -> None:
    """Check that a predicate uses only columns of the table.

    If `quotes` is false, names in quotes are refused. Constraints must not have names
    in quotes, because Delta stores a constraint as text, and the engines use different
    quotes.
    """
    from sqlglot import exp

    from lakekit.declarations import transpile

    predicate = transpile.parse_predicate(table.name, sql)
    if not quotes:
        _check_constraint(table, predicate)
    names = [column.name for column in table.columns]
    for column in predicate.find_all(exp.Column):
        if column.table or column.name.lower() not in names:
            raise DeclarationError(
                table.name,
                f"{column.sql('databricks')} is not a column of the table",
                f"Did you mean {nearest(column.name, names)}?",
            )


def _check_constraint(table: Table, predicate: exp.Expr) -> None:
    from sqlglot import exp

    for name in predicate.find_all(exp.Identifier):
        if name.args.get("quoted") or name.name.lower() in DELTA_WORDS:
            break
    else:
        if not any(each.comments for each in predicate.walk()):
            return
    raise DeclarationError(
        table.name,
        "a constraint cannot have a comment, or a name that needs quotes",
        "Write an expectation of severity fail instead.",
    )


@contextmanager
def _at(table: Table, where: str) -> Iterator[None]:
    """Add the SQL's file or name to errors that are raised in this context."""
    try:
        yield
    except DeclarationError as error:
        what = f"{where}: {error.what}"
        raise type(error)(table.name, what, error.next_step) from error
