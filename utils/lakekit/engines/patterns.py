"""Patterns of the strings that an engine may cast to each type."""

from __future__ import annotations

from typing import Mapping

from lakekit.declarations.tables import Type

# The patterns are stricter than DuckDB, which casts '2.7' to an int, and a time without
# a zone to an instant.
PATTERNS: Mapping[Type, str] = {
    "boolean": "(?i)true|false",
    "int": "[+-]?[0-9]+",
    "bigint": "[+-]?[0-9]+",
    "double": r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    # DuckDB would also accept the time 24:00 and any offset from UTC. Spark accepts
    # offsets of up to 18 hours from UTC.
    "timestamp": (
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}"
        r"(\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-7]):[0-5][0-9]|[+-]18:00)"
    ),
}
