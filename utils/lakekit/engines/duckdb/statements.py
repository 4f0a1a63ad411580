"""DuckDB SQL for declarations: reading a source, converting strings, and selecting
columns.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Collection, Iterable, Mapping, Sequence, Tuple

from lakekit.declarations.tables import Column, Source, Table, Type
from lakekit.engines.patterns import PATTERNS
from lakekit.errors import DeclarationError
from lakekit.sources.files import OpenedFile

TYPES: Mapping[Type, str] = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
MEANING: Mapping[Type, str] = {
    "boolean": "a boolean (true or false)",
    "int": "an int (a whole number of 32 bits)",
    "bigint": "a bigint (a whole number of 64 bits)",
    "double": "a double (a number)",
    "date": "a date (YYYY-MM-DD)",
    "timestamp": "a timestamp (YYYY-MM-DDTHH:MM:SS, then Z or +HH:MM)",
}


def name(identifier: str) -> str:
    """Return a quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a string literal."""
    return "'" + value.replace("'", "''") + "'"


def file(path: Path) -> str:
    """Return a file to read, as a string literal. `*`, `?` and `[` are put in brackets,
    because DuckDB reads them as wildcards.
    """
    return text(re.sub(r"([*?\[])", r"[\1]", str(path)))


def read_file(
    opened: OpenedFile, kinds: Sequence[str], origin: Mapping[str, str]
) -> str:
    """Return a SELECT of every column of a source file as text, and of the origin of
    each row.

    `origin` has SQL for columns of `lakekit.declarations.tables.ORIGIN`; `kinds` has
    DuckDB's types of the columns of a Parquet file.
    """
    rows = ""
    if opened.format == "csv":
        header = ", ".join(f"{text(column)}: 'VARCHAR'" for column in opened.header)
        values = [
            f"coalesce({name(c)}, '') AS {name(c.lower())}" for c in opened.header
        ]
        table = (
            f"read_csv({file(opened.path)}, columns = {{{header}}}, header = true,"
            " auto_detect = false, "
            "delim = ',', quote = '\"', escape = '\"',"
            " strict_mode = true, null_padding = false, "
            "allow_quoted_nulls = false, "
            # A folder `month=7` above the file is not a column of the file.
            "hive_partitioning = false)"
        )
        if len(opened.header) == 1:  # with more columns, DuckDB skips blank lines
            rows = f" WHERE {name(opened.header[0])} IS NOT NULL"
    else:
        missing = text(opened.source.missing)
        strings = [_plain(c, kind) for c, kind in zip(opened.header, kinds)]
        values = [
            f"coalesce({value}, {missing}) AS {name(c.lower())}"
            for c, value in zip(opened.header, strings)
        ]
        table = f"read_parquet({file(opened.path)}, hive_partitioning = false)"
    values += [f"{sql} AS {column}" for column, sql in origin.items()]
    return f"SELECT {', '.join(values)} FROM {table}{rows}"


def _plain(column: str, kind: str) -> str:
    """Return SQL for a Parquet value as text: ISO 8601 with Z for an instant, without
    trailing zeros in its fraction.
    """
    value = name(column)
    if kind.startswith("TIMESTAMP"):
        instant = f"CAST({value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
        seconds = f"strftime({instant}, '%Y-%m-%dT%H:%M:%S')"
        fraction = f"rtrim(strftime({instant}, '.%f'), '0.')"
        return (
            f"{seconds} || CASE WHEN {fraction} = '' THEN '' ELSE '.' ||"
            f" ltrim({fraction}, '.') END || 'Z'"
        )
    return f"CAST({value} AS VARCHAR)"


def misfit(column: Column, source: Source) -> str:
    """Return a condition that is true for a string that does not convert to the
    column's type, or that is missing in a required column.
    """
    value, missing, wrong = name(column.name), text(source.missing), "false"
    if column.type != "string":
        pattern = text(PATTERNS[column.type])
        kind = TYPES[column.type]
        wrong = (
            f"(NOT regexp_full_match({value}, {pattern})"
            f" OR TRY_CAST({value} AS {kind}) IS NULL)"
        )
    return (
        f"({value} = {missing} OR {wrong})"
        if column.required
        else f"({value} <> {missing} AND {wrong})"
    )


def as_declared(table: Table, query: str, found: Sequence[Tuple[str, str]]) -> str:
    """Return the query with its columns cast to their declared types; `found` has the
    names and types of the query's columns.

    Raises DeclarationError where they differ. Integers may differ in width: the cast
    checks the range.
    """
    names, declared = [column for column, _ in found], [
        column.name for column in table.columns
    ]
    if names != declared:
        columns = (
            f"the SQL gives the columns {', '.join(names)}; declared:"
            f" {', '.join(declared)}"
        )
        raise DeclarationError(table.name, columns)
    for column, (_, kind) in zip(table.columns, found):
        if kind != TYPES[column.type] and not (
            kind in INTEGERS and TYPES[column.type] in INTEGERS
        ):
            types = (
                f"column {column.name} is {kind} in the SQL"
                f" and {column.type} as declared"
            )
            raise DeclarationError(table.name, types)
    casts = ", ".join(
        f"CAST({name(c.name)} AS {TYPES[c.type]}) AS {name(c.name)}"
        for c in table.columns
    )
    return f"SELECT {casts} FROM ({query})"


def data_files(paths: Iterable[Path], partition: Mapping[str, Type]) -> str:
    """Return a FROM item for the data files of a table. The files are in folders by
    `partition`, a column and its type.
    """
    listed = ", ".join(file(path) for path in paths)
    if not listed:
        return "(SELECT 1) WHERE false"
    options = f"union_by_name = true, hive_partitioning = {bool(partition)}"
    for column, kind in partition.items():
        options += f", hive_types = {{{name(column)}: {TYPES[kind]}}}"
    return f"read_parquet([{listed}], {options})"


def declared_columns(
    table: Table, scan: str, has: Collection[str], naive: bool = False
) -> str:
    """Return a SELECT of the declared columns, in declared types.

    A column that a file of an older schema does not have is null. With `naive`,
    instants are in UTC without a time zone.
    """
    columns = []
    for column in table.columns:
        value = (
            f"CAST({name(column.name) if column.name in has else 'NULL'}"
            f" AS {TYPES[column.type]})"
        )
        value = (
            f"timezone('UTC', {value})"
            if naive and column.type == "timestamp"
            else value
        )
        columns.append(f"{value} AS {name(column.name)}")
    return f"SELECT {', '.join(columns)} FROM {scan}"


def csv_reason(error: str) -> str:
    """Return the line and the reason from DuckDB's long message about a malformed CSV
    file.
    """
    line = re.search(r"Line: (\d+)", error)
    reason = re.search(
        r"(Expected Number of Columns: .*|Value with unterminated quote.*"
        r"|Invalid unicode.*)",
        error,
    )
    where = f", line {line.group(1)}" if line else ""
    what = reason.group(1).strip() if reason else error.strip().partition("\n")[0]
    return f"{where}: {what}"


def sql_reason(error: str) -> str:
    """Return why DuckDB refuses SQL, with the names that it proposes for an unknown
    column.
    """
    first = error.strip().partition("\n")[0].partition(": ")[2] or error.strip()
    similar = re.search(r"Candidate bindings: (.*)", error)
    return f"{first} Did you mean {similar.group(1)}?" if similar else first


def storage_reason(error: str) -> str:
    """Return the operating system's reason why a file could not be written. It follows
    the file's name; DuckDB 2 wraps both in JSON.
    """
    reason = re.search(r'": ([A-Z][^"]+)', error)
    return reason.group(1) if reason else error.strip().partition("\n")[0]
