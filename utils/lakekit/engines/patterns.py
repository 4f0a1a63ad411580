"""Which strings an engine may cast to which type."""

from __future__ import annotations

from typing import Mapping

from lakekit.declarations.tables import Type

# What may be cast: DuckDB alone would also take '2.7' for an int and a time without a
# zone for an instant.
PATTERNS: Mapping[Type, str] = {
    "boolean": "(?i)true|false",
    "int": "[+-]?[0-9]+",
    "bigint": "[+-]?[0-9]+",
    "double": r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    # DuckDB alone would also take 24:00.
    "timestamp": (
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
    ),
}
