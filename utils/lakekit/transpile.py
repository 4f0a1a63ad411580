"""Databricks SQL to DuckDB, by sqlglot, letting through only what means the same on both.

sqlglot translates some constructs silently wrong (`dayofweek`, `from_utc_timestamp`, `count_if` of nothing but nulls,
...). So a transform may be made of the parts in `CONSTRUCTS` and no other; those that compute a value each have a
parity test on Spark. A division is not among them: by zero it is an error, a null or infinity.
"""

from __future__ import annotations

from typing import FrozenSet, Set, Tuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from lakekit.errors import SqlRefused

CLAUSES: FrozenSet[type] = frozenset(
    {exp.CTE, exp.From, exp.Group, exp.Join, exp.Order, exp.Ordered, exp.Qualify, exp.Select, exp.Subquery}
    | {exp.Table, exp.TableAlias, exp.Where, exp.With}
)
OPERATORS: FrozenSet[type] = frozenset(
    {
        exp.Add,
        exp.And,
        exp.EQ,
        exp.GT,
        exp.GTE,
        exp.Is,
        exp.LT,
        exp.LTE,
        exp.Mul,
        exp.NEQ,
        exp.Neg,
        exp.Not,
        exp.Or,
    }
    | {exp.Paren, exp.Sub}
)
VALUES: FrozenSet[type] = frozenset(
    {exp.Alias, exp.Boolean, exp.Column, exp.DataType, exp.Identifier, exp.Literal, exp.Null, exp.Star}
)
FUNCTIONS: FrozenSet[type] = frozenset(
    {exp.Avg, exp.Case, exp.Cast, exp.Coalesce, exp.Count, exp.Distinct, exp.Filter, exp.If, exp.Max, exp.Min}
    | {exp.Nullif, exp.RowNumber, exp.Sum, exp.Window}
)
CONSTRUCTS = CLAUSES | OPERATORS | VALUES | FUNCTIONS
UNPARSED = ("make_date",)
"""Functions that sqlglot does not know and passes on by name."""


def to_duckdb(table: str, sql: str) -> Tuple[str, Set[str]]:
    """One SELECT of the table's SQL file in DuckDB's dialect, and the names of the tables that it reads.

    Raises SqlRefused for SQL that does not parse, is not one query, or holds what is not let through.
    """
    try:
        parsed = sqlglot.parse(sql, read="databricks", error_level=ErrorLevel.RAISE)
        query = parsed[0] if len(parsed) == 1 else None
        if not isinstance(query, exp.Query):
            raise SqlRefused(table, "an SQL file holds one SELECT and nothing else")
        for part in query.walk():
            passed_on = isinstance(part, exp.Anonymous) and part.name.lower() in UNPARSED
            if type(part) not in CONSTRUCTS and not passed_on:
                kind = type(part).__name__
                raise SqlRefused(table, f"`{part.sql('databricks')}` ({kind}) is not let through")
        duckdb = query.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise SqlRefused(table, " ".join(str(error).split())) from error
    inside = {cte.alias for cte in query.find_all(exp.CTE)}
    reads = {".".join(part.name for part in node.parts) for node in query.find_all(exp.Table)}
    return duckdb, reads - inside
