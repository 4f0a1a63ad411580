"""Lets the engine check the declared SQL before anything is written. The engine checks
names, types, and the columns that each query returns.
"""

from __future__ import annotations

import os

from lakekit.declarations.sql_cache import SqlCache, cache_folder
from lakekit.declarations.tables import TableSet
from lakekit.engines.engine import Engine
from lakekit.transforms.rules import unmet


def dry_run(engine: Engine, tables: TableSet) -> None:
    """Check the SQL of all tables. The SQL is not run on data, but checked on empty
    tables. The result is cached.

    Raises DeclarationError if the engine refuses SQL, or if a query does not return the
    declared columns.
    """
    queries = [tables.query(table) for table in tables]
    SqlCache(cache_folder(os.environ)).once(
        ["dry run", engine.version, repr(tables.tables), queries],
        lambda: _check(engine, tables),
    )


def _check(engine: Engine, tables: TableSet) -> None:
    for table in tables:
        engine.define_empty(table, _empty(table.name))
        sql = tables.query(table)
        if sql:
            views = {name: _empty(name) for name in table.reads}
            where = f"{tables.sql / table.sql}: "
            engine.check(table, where, engine.transform(table, sql, views))
        checks = [("expectation", each.name, each.sql) for each in table.expectations]
        checks += [("constraint", each.name, each.sql) for each in table.constraints]
        for kind, name, predicate in checks:
            broken = unmet(engine, table, predicate)
            select = f"select * from {_empty(table.name)} where {broken}"
            engine.check(table, f"{kind} {name}: ", select)


def _empty(name: str) -> str:
    return "empty_" + name.replace(".", "_")
