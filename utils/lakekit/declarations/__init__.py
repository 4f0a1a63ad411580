"""Declarations of tables, columns and expectations in a project."""

from lakekit.declarations.tables import (
    INGESTED_AT,
    LATEST,
    ORIGIN,
    SOURCE_FILE,
    SOURCE_ROW,
    SOURCE_SHA256,
    Column,
    Constraint,
    Expectation,
    Join,
    Source,
    Table,
    TableSet,
    bronze,
    quarantine,
)

__all__ = [
    "INGESTED_AT",
    "LATEST",
    "ORIGIN",
    "SOURCE_FILE",
    "SOURCE_ROW",
    "SOURCE_SHA256",
    "Column",
    "Constraint",
    "Expectation",
    "Join",
    "Source",
    "Table",
    "TableSet",
    "bronze",
    "quarantine",
]
