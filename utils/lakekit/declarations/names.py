"""Writes column names in SQL that both engines accept.

Names are in double quotes, as in standard SQL. So a column's name may be a reserved
word of an engine. The Spark engine replaces the double quotes with backticks.
"""

from __future__ import annotations

from typing import Iterable


def quoted(name: str) -> str:
    """Return a name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Return names in quotes, separated by commas. `prefix`, such as `a.`, comes before
    each name.
    """
    return ", ".join(prefix + quoted(name) for name in names)


def same(names: Iterable[str], left: str, right: str) -> str:
    """Return a condition that is true if these columns have the same values in both
    tables.
    """
    return " and ".join(
        f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in names
    )
