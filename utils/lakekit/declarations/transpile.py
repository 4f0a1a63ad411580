"""With sqlglot, rewrites Databricks SQL for the engines. Only SQL that has the same
meaning on all engines is allowed.

sqlglot translates some constructs wrongly without an error (`dayofweek`,
`from_utc_timestamp`, `count_if` of only nulls, ...). So a transform may only use the
constructs in `CONSTRUCTS`. Every construct that computes a value has a test that
compares DuckDB with Spark. Division is not allowed, because division by zero is an
error, a null or infinity, depending on the engine.
"""

from __future__ import annotations

import logging
from typing import FrozenSet, Iterable, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from lakekit.errors import DeclarationError, UnsupportedSqlError

# sqlglot logs warnings about statements that it cannot parse. lakekit raises an error
# instead.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

CLAUSES: FrozenSet[type] = frozenset(
    {
        exp.CTE,
        exp.From,
        exp.Group,
        exp.Join,
        exp.Order,
        exp.Ordered,
        exp.Qualify,
        exp.Select,
        exp.Subquery,
    }
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
    {
        exp.Alias,
        exp.Boolean,
        exp.Column,
        exp.DataType,
        exp.Identifier,
        exp.Literal,
        exp.Null,
        exp.Star,
    }
)
FUNCTIONS: FrozenSet[type] = frozenset(
    {
        exp.Avg,
        exp.Case,
        exp.Cast,
        exp.Coalesce,
        exp.Count,
        exp.Distinct,
        exp.Filter,
        exp.If,
        exp.Max,
        exp.Min,
    }
    | {exp.Nullif, exp.RowNumber, exp.Sum, exp.Window}
)
MANY_ROWS = (exp.AggFunc, exp.Query, exp.Star, exp.Window)
"""Constructs that are not allowed in predicates, because they need more than one row.
"""
NOT_CONDITIONS = (exp.Alias, exp.Literal, exp.Neg, exp.Null, exp.DataType)
"""Constructs that cannot be a condition. The engines check the types of all other
constructs.
"""
CONSTRUCTS = CLAUSES | OPERATORS | VALUES | FUNCTIONS
UNPARSED = ("make_date",)
"""Functions that sqlglot does not know and therefore leaves unchanged."""


def parse_query(table: str, sql: str, reads: Iterable[str]) -> exp.Query:
    """Return the parsed SQL of a table: one SELECT that reads exactly the tables
    `reads`.

    Raises UnsupportedSqlError if the SQL cannot be parsed, is not one query, or has a
    construct that is not allowed. Raises DeclarationError if the SQL does not read
    exactly these tables.
    """
    query = _parse(table, sql)
    if not isinstance(query, exp.Query):
        raise UnsupportedSqlError(
            table, "an SQL file must be one SELECT and nothing else"
        )
    inside = {cte.alias for cte in query.find_all(exp.CTE)}
    found = {
        ".".join(part.name for part in node.parts) for node in query.find_all(exp.Table)
    } - inside
    if found != set(reads):
        declared = ", ".join(sorted(reads))
        raise DeclarationError(
            table, f"the SQL reads {', '.join(sorted(found))}; declared: {declared}"
        )
    return query


def parse_predicate(table: str, sql: str) -> exp.Expr:
    """Return a declared predicate as a parsed expression. Raises UnsupportedSqlError if
    the predicate is not allowed.
    """
    predicate = _parse(table, sql)
    if isinstance(predicate.unnest(), NOT_CONDITIONS) or predicate.find(*MANY_ROWS):
        raise UnsupportedSqlError(
            table,
            f"`{sql}` is not a predicate over the columns of one row",
            "Write a condition that is true or false for each row, such as price > 0.",
        )
    return predicate


def with_views(query: exp.Query, views: Mapping[str, str]) -> exp.Query:
    """Replace the tables of a query by views, and return the resulting query. If a
    table has no alias, the table's short name becomes the alias, so that references to
    the table's columns stay valid.
    """

    def replaced(node: exp.Expr) -> exp.Expr:
        name = (
            ".".join(part.name for part in node.parts)
            if isinstance(node, exp.Table)
            else ""
        )
        if name not in views:
            return node
        alias = exp.to_identifier(node.alias or name.rpartition(".")[2], quoted=True)
        return exp.to_table(views[name], alias=alias)

    viewed = query.transform(replaced)
    assert isinstance(viewed, exp.Query), viewed
    return viewed


def duckdb(expression: exp.Expr, table: str) -> str:
    """Return the expression in DuckDB SQL. An invalid date is null, as in Spark. Raises
    UnsupportedSqlError if DuckDB has no equivalent SQL.
    """

    def replaced(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous) and node.name.lower() == "make_date":
            return exp.Anonymous(this="try", expressions=[node])
        return node

    try:
        return expression.transform(replaced).sql(
            dialect="duckdb", identify=True, unsupported_level=ErrorLevel.RAISE
        )
    except SqlglotError as error:
        raise UnsupportedSqlError(table, _reason(error)) from error


def _reason(error: SqlglotError) -> str:
    """Return sqlglot's error message as one line. If the line number in the SQL is
    known, the message starts with it.
    """
    faults = getattr(error, "errors", [])
    if faults and faults[0].get("line"):
        what = str(faults[0]["description"])
        # sqlglot's message about a missing operand contains names of sqlglot's classes.
        what = "an operand is missing" if "Required keyword" in what else what
        return f"line {faults[0]['line']}: {what}"
    return " ".join(str(error).split())


def _parse(table: str, sql: str) -> exp.Expr:
    try:
        parsed = sqlglot.parse(sql, read="databricks", error_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise UnsupportedSqlError(
            table, _reason(error), "Correct the SQL, which does not parse."
        ) from error
    if len(parsed) != 1 or parsed[0] is None:
        raise UnsupportedSqlError(table, f"`{sql.strip()[:60]}` is not one statement")
    for part in parsed[0].walk():
        passed_on = isinstance(part, exp.Anonymous) and part.name.lower() in UNPARSED
        if type(part) not in CONSTRUCTS and not passed_on:
            raise UnsupportedSqlError(
                table,
                f"`{part.sql('databricks')}`"
                f" ({type(part).__name__}) is not allowed",
            )
    return parsed[0]
