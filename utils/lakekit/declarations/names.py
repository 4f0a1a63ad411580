"""Names of columns in SQL that both engines run.

A name stands in double quotes, as in standard SQL, so that a reserved word of an engine
is a column like any other. The Spark engine replaces the quotes by its own.
"""

from __future__ import annotations

from typing import Iterable


def quoted(name: str) -> str:
    """Return a name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Return names in quotes, separated by commas, each after a prefix such as `a.`."""
    return ", ".join(prefix + quoted(name) for name in names)


def same(names: Iterable[str], left: str, right: str) -> str:
    """Return a condition that two tables have the same values in these columns."""
    return " and ".join(
        f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in names
    )
