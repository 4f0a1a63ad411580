"""Generates SQL for the rules that the rows of a table must meet: types, required
columns, expectations and unique keys.
"""

from __future__ import annotations

from typing import Dict, Sequence

from lakekit.declarations import value_limits
from lakekit.declarations.names import listed, quoted
from lakekit.declarations.tables import Table
from lakekit.engines.engine import Engine, Staged
from lakekit.errors import ExpectationFailedError


def misfit_rule(engine: Engine, source: Table) -> str:
    """Return SQL that finds, in a bronze row, the first column whose value does not
    convert. The SQL returns `type: COLUMN`, or null if all values convert.
    """
    assert source.source is not None
    whens = [
        f"when {engine.misfit(column, source.source)} then 'type: {column.name}'"
        for column in source.source.columns
    ]
    return f"case {' '.join(whens)} end"


def unmet(engine: Engine, table: Table, sql: str) -> str:
    """Return SQL that is true for a row that does not meet a predicate. If the
    predicate is null for a row, the row does not meet the predicate.
    """
    return f"not coalesce({engine.predicate(table.name, sql)}, false)"


def refusal_rule(engine: Engine, table: Table) -> str:
    """Return SQL for the first rule by which a merged table refuses a row. The SQL is
    null if the row is accepted.
    """
    whens = []
    for column in table.columns:
        # In the name of a partition's folder, Delta cannot distinguish an empty string
        # from a null.
        empty = (
            f" or {quoted(column.name)} = ''"
            if column.name == table.partition and column.type == "string"
            else ""
        )
        if column.required:
            whens.append(
                f"when {quoted(column.name)} is null{empty}"
                f" then 'required: {column.name}'"
            )
    whens += [
        f"when {sql} then '{rule}'" for rule, sql in value_limits.refusal_rules(table)
    ]
    for each in table.expectations:
        if each.severity == "drop":
            rule = each.name.replace("'", "''")
            whens.append(f"when {unmet(engine, table, each.sql)} then '{rule}'")
    return f"case {' '.join(whens)} end"


def doubled(engine: Engine, view: str, key: Sequence[str]) -> bool:
    """Return whether two rows of a view have the same key."""
    keys = listed(key)
    twice = f"select {keys} from {view} group by {keys} having count(*) > 1"
    return bool(engine.query(f"select count(*) from ({twice}) t")[0][0])


def judge(engine: Engine, table: Table, staged: Staged) -> Dict[str, int]:
    """For each expectation, return the number of rows that do not meet the expectation.
    Raises ExpectationFailedError if rows do not meet an expectation of severity `fail`.
    """
    if not table.expectations:
        return {}
    each = [
        f"sum(case when {unmet(engine, table, e.sql)} then 1 else 0 end)"
        for e in table.expectations
    ]
    found = engine.query(f"select {', '.join(each)} from {staged.view}")[0]
    counts = {e.name: int(n or 0) for e, n in zip(table.expectations, found)}
    for expectation in table.expectations:
        if expectation.severity == "fail" and counts[expectation.name]:
            raise ExpectationFailedError(
                table.name, expectation.name, counts[expectation.name]
            )
    return counts
