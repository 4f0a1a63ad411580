"""Values that a Delta table cannot store, or that some readers cannot read.

- A date or a timestamp (in UTC) outside the years 1 to 9999. For a value outside this
  range, Delta's log and Python have no notation that every reader can parse. If a text
  in a source file means a value outside this range, the text does not convert (rule
  `type: COLUMN`).
- A partition value that is an empty string, contains the character NUL, or is read as a
  null. In upper or lower case, `null` and `__HIVE_DEFAULT_PARTITION__` are read as
  nulls.
- A partition value that is too long: the folder name `COLUMN=VALUE` must not have more
  than 255 bytes. In the folder name, every byte of VALUE except ASCII letters, digits
  and `-._~` is escaped as `%XX`.

If a row of a merged table has one of these values, the row is moved to quarantine. The
rule for the row is `range: COLUMN` or `partition: COLUMN`, or `required: COLUMN` for an
empty string. If a row of any other table has one of these values, the update of the
table fails before its commit (ComputeError). All integers and booleans can be stored.
Doubles and timestamps cannot partition a table (`lakekit.declarations.checks`).
"""

from __future__ import annotations

import string
from typing import List, Mapping, Tuple

from lakekit.declarations.names import quoted
from lakekit.declarations.tables import ORIGIN, Column, Table, Type

NULLS = ("null", "__hive_default_partition__")
"""Partition values, in upper or lower case, that Spark or DuckDB before 2.0 reads as
null.
"""
LONGEST_NAME = 255
"""The maximum number of bytes in a file name on Linux. The limit also applies to a lake
on S3, because the lake's files are copied to the scratch folder.
"""
UNESCAPED = string.ascii_letters + string.digits + "-._~"
"""The characters that engines do not escape in the name of a folder."""
RANGES: Mapping[Type, Tuple[str, str]] = {
    "date": ("0001-01-01", "9999-12-31"),
    "timestamp": ("0001-01-01 00:00:00+00:00", "9999-12-31 23:59:59.999999+00:00"),
}


def refusal_rules(table: Table) -> List[Tuple[str, str]]:
    """Return the rules by which a merged table moves rows to quarantine.

    The SQL of a rule is valid on both engines. The SQL is true for a row that violates
    the rule, and false or null for all other rows.
    """
    rules = []
    for column in table.columns:
        if _is_ranged(column):
            rules.append((f"range: {column.name}", _out_of_range(column)))
        if _is_folder_name(table, column):
            rules.append((f"partition: {column.name}", _no_folder_name(column)))
    return rules


def faults(table: Table) -> List[Tuple[str, str]]:
    """Return the faults in rows that prevent the commit of these rows. Each fault has a
    text with `{}` for the number of rows, and SQL that is true for the faulty rows.
    """
    found = []
    for column in table.columns:
        if _is_ranged(column):
            what = f"column {column.name} has {{}} values outside the years 1 to 9999"
            found.append((what, _out_of_range(column)))
        if _is_folder_name(table, column):
            name = f"partition column {column.name} has {{}}"
            empty = f"{name} empty strings, which Delta reads as nulls"
            other = (
                f"{name} values that cannot name a folder (NUL, {', '.join(NULLS)}, "
                f"or more than {LONGEST_NAME} bytes)"
            )
            found += [
                (empty, f"{quoted(column.name)} = ''"),
                (other, _no_folder_name(column)),
            ]
    return found


def is_too_long(path: str) -> bool:
    """Return whether a path has a name that is too long for a file system. S3 allows
    longer names.
    """
    return any(len(part.encode()) > LONGEST_NAME for part in path.split("/"))


def _is_ranged(column: Column) -> bool:
    return column.type in RANGES and column not in ORIGIN


def _is_folder_name(table: Table, column: Column) -> bool:
    return column.name == table.partition and column.type == "string"


def _out_of_range(column: Column) -> str:
    return out_of_range(quoted(column.name), column.type, column.type)


def out_of_range(value: str, kind: Type, engine_type: str) -> str:
    """Return SQL that is true for a value outside the range of its type in `RANGES`.

    `engine_type` is the name that the engine uses for the type.
    """
    first, last = (f"cast('{day}' as {engine_type})" for day in RANGES[kind])
    return f"{value} not between {first} and {last}"


def _no_folder_name(column: Column) -> str:
    value, longest = quoted(column.name), LONGEST_NAME - len(f"{column.name}=")
    # An escaped byte takes three bytes. `bit_length` is the length of a string in UTF-8
    # on both engines.
    escaped = f"bit_length(translate({value}, '{UNESCAPED}', ''))"
    bits = f"bit_length({value}) + 2 * {escaped}"
    nulls = ", ".join(f"'{null}'" for null in NULLS)
    return (
        f"(contains({value}, chr(0)) or lower({value}) in ({nulls})"
        f" or {bits} > {8 * longest})"
    )
