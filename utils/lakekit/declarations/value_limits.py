"""Values that a Delta table cannot hold, or that one of its readers cannot read back.

- A date or a timestamp (in UTC) outside the years 1 to 9999: neither Delta's log nor
  Python has a notation for it that every reader parses.
- A string that partitions a table: an empty one, `null` in any case, and
  `__HIVE_DEFAULT_PARTITION__`, which readers take for a null; one with the character
  NUL; and one whose folder, named `COLUMN=VALUE`, would have a name of more than 255
  bytes once every byte but ASCII letters, digits and `-._~` is written as `%XX`.

A merged table sends such a row to its quarantine (`range: COLUMN`, `partition: COLUMN`,
an empty string by `required: COLUMN`). In any other table it ends the update before its
commit (ComputeError). Integers and booleans have no such value; doubles and timestamps
cannot partition a table (`lakekit.declarations.tables`).
"""

from __future__ import annotations

import string
from typing import List, Mapping, Tuple

from lakekit.declarations.tables import ORIGIN, Column, Table, Type

NULLS = ("null", "__hive_default_partition__")
"""Folders named so, in any case, hold a null for Spark or DuckDB before 2.0."""
LONGEST_NAME = 255
"""Bytes of a file name on Linux, and in the scratch folder of a lake on S3."""
UNESCAPED = string.ascii_letters + string.digits + "-._~"
"""What stays as it is in a folder's name, whichever engine writes it."""
RANGES: Mapping[Type, Tuple[str, str]] = {
    "date": ("0001-01-01", "9999-12-31"),
    "timestamp": ("0001-01-01 00:00:00+00:00", "9999-12-31 23:59:59.999999+00:00"),
}


def refusal_rules(table: Table) -> List[Tuple[str, str]]:
    """The rules of a merged table's quarantine, each with SQL that both engines take:
    true of a row that breaks it, false or null of any other.
    """
    rules = []
    for column in table.columns:
        if _is_ranged(column):
            rules.append((f"range: {column.name}", _out_of_range(column)))
        if _is_folder_name(table, column):
            rules.append((f"partition: {column.name}", _no_folder_name(column)))
    return rules


def faults(table: Table) -> List[Tuple[str, str]]:
    """What is wrong with rows that must not be committed, as text with `{}` for their
    number, each with SQL as `refusal_rules` has it."""
    found = []
    for column in table.columns:
        if _is_ranged(column):
            what = f"column {column.name} has {{}} values outside the years 1 to 9999"
            found.append((what, _out_of_range(column)))
        if _is_folder_name(table, column):
            name = f"partition column {column.name} has {{}}"
            empty = f"{name} empty strings, which Delta takes for nulls"
            other = (
                f"{name} values that cannot name a folder (NUL, {', '.join(NULLS)}, "
                f"or more than {LONGEST_NAME} bytes)"
            )
            found += [(empty, f"{column.name} = ''"), (other, _no_folder_name(column))]
    return found


def is_too_long(path: str) -> bool:
    """Whether a file of that path cannot be kept in a folder, as one on S3 can be."""
    return any(len(part.encode()) > LONGEST_NAME for part in path.split("/"))


def _is_ranged(column: Column) -> bool:
    return column.type in RANGES and column not in ORIGIN


def _is_folder_name(table: Table, column: Column) -> bool:
    return column.name == table.partition and column.type == "string"


def _out_of_range(column: Column) -> str:
    first, last = (f"cast('{day}' as {column.type})" for day in RANGES[column.type])
    return f"{column.name} not between {first} and {last}"


def _no_folder_name(column: Column) -> str:
    value, longest = column.name, LONGEST_NAME - len(f"{column.name}=")
    # Each escaped byte takes three; both engines count bits of a string in UTF-8.
    escaped = f"bit_length(translate({value}, '{UNESCAPED}', ''))"
    bits = f"bit_length({value}) + 2 * {escaped}"
    nulls = ", ".join(f"'{null}'" for null in NULLS)
    return (
        f"(contains({value}, chr(0)) or lower({value}) in ({nulls})"
        f" or {bits} > {8 * longest})"
    )
