"""Generates DuckDB SQL for declarations: SQL that reads sources, converts strings and
selects columns.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Collection, Iterable, Mapping, Sequence, Tuple

from lakekit.declarations.tables import Column, Source, Table, Type
from lakekit.declarations.value_limits import RANGES, out_of_range
from lakekit.engines.patterns import PATTERNS
from lakekit.errors import DeclarationError, SourceError
from lakekit.sources.csv import MAX_ROW
from lakekit.sources.files import OpenedFile
from lakekit.sources.parquet import Kind, has_nanoseconds

TYPES: Mapping[Type, str] = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
ZONED = TYPES["timestamp"]
NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")
DEFAULT_ROW = 2_000_000
"""DuckDB's default limit for the size of a row in bytes."""
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
    """Return the path of a file to read, as a string literal. `*`, `?` and `[` are
    written in brackets, because DuckDB otherwise reads them as wildcards.
    """
    return text(re.sub(r"([*?\[])", r"[\1]", str(path)))


def read_file(
    opened: OpenedFile, kinds: Sequence[str], origin: Mapping[str, str]
) -> str:
    """Return a SELECT of all columns of a source file, as text, and of the columns for
    the origin of each row.

    `origin` has SQL for columns of `lakekit.declarations.tables.ORIGIN`. For a Parquet
    file, `kinds` has DuckDB's types of the columns.
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
            # A folder such as `month=7` above the file must not become a column.
            f"hive_partitioning = false{_row_size(opened)})"
        )
        if len(opened.header) == 1:  # DuckDB skips blank lines by default
            rows = f" WHERE {name(opened.header[0])} IS NOT NULL"
    else:
        missing = text(opened.source.missing)
        strings = [_plain(*c) for c in zip(opened.header, opened.kinds, kinds)]
        values = [
            f"coalesce({value}, {missing}) AS {name(c.lower())}"
            for c, value in zip(opened.header, strings)
        ]
        table = f"read_parquet({file(opened.path)}, hive_partitioning = false)"
    values += [f"{sql} AS {column}" for column, sql in origin.items()]
    return f"SELECT {', '.join(values)} FROM {table}{rows}"


def _row_size(opened: OpenedFile) -> str:
    """Return options of read_csv for a file whose rows are larger than DuckDB's default
    limit.

    The buffer size is set to DuckDB's default. Without this option, DuckDB would use a
    buffer of 16 times the maximum size of a row.
    """
    if opened.largest_row <= DEFAULT_ROW:
        return ""
    return f", max_line_size = {MAX_ROW}, buffer_size = {2 * MAX_ROW}"


def _plain(column: str, written: Kind, kind: str) -> str:
    """Return SQL for the text of a Parquet value, as `lakekit.sources.parquet.TYPES`
    defines it. `kind` is DuckDB's type.
    """
    value = name(column)
    plain = f"CAST({value} AS VARCHAR)"
    # DuckDB reads the largest and the smallest value as infinite values, which have no
    # year, so the SQL for their text is null.
    if written == "date":
        return f"coalesce({_day(value)}, {plain})"
    if written in ("instant", "local"):
        return f"coalesce({_instant(value, kind, written)}, {plain})"
    return plain


def _day(value: str) -> str:
    """Return SQL for the text of a date. As in Spark, years outside 0 to 9999 have a
    sign.
    """
    year = f"year({value})"
    sign = f"CASE WHEN {year} > 9999 THEN '+' WHEN {year} < 0 THEN '-' ELSE '' END"
    return f"{sign} || printf('%04d', abs({year})) || strftime({value}, '-%m-%d')"


def _instant(value: str, kind: str, written: Kind) -> str:
    """Return SQL for the text of a timestamp. The fraction of the second has no
    trailing zeros.
    """
    if kind in NANOSECONDS:
        number = f"epoch_ns({value})"
        # For an instant before 1970, the remainder of a division is negative.
        rest = f"(({number} % 1000000000 + 1000000000) % 1000000000)"
        time = f"make_timestamp(({number} - {rest}) // 1000)"
        digits = f"printf('%09d', {rest})"
    else:
        time = f"timezone('UTC', {value})" if kind == ZONED else value
        digits = f"strftime({time}, '%f')"
    fraction = f"rtrim('.' || {digits}, '0')"
    end = "Z" if written == "instant" else ""
    return (
        f"{_day(time)} || strftime({time}, 'T%H:%M:%S')"
        f" || rtrim({fraction}, '.') || '{end}'"
    )


def check_nanoseconds(opened: OpenedFile, kinds: Sequence[str]) -> None:
    """Raise SourceError for instants whose nanoseconds DuckDB would cut off.

    Before version 2.0, DuckDB reads only the microseconds of an instant. `kinds` has
    DuckDB's types of the columns.
    """
    for column, written, kind in zip(opened.header, opened.kinds, kinds):
        if written == "instant" and kind == ZONED:
            if has_nanoseconds(opened.path, column):
                raise SourceError(
                    f"{opened.given}, column {column}: the installed DuckDB does not"
                    " read nanoseconds of instants",
                    "Write microseconds, or use Python 3.11 or newer, whose DuckDB"
                    " reads nanoseconds.",
                )


def misfit(column: Column, source: Source) -> str:
    """Return a condition that is true for a string that does not convert to the
    column's type. The condition is also true for a missing value in a required column.
    """
    value, missing, wrong = name(column.name), text(source.missing), "false"
    if column.type != "string":
        pattern = text(PATTERNS[column.type])
        kind = TYPES[column.type]
        cast = f"TRY_CAST({value} AS {kind})"
        wrong = f"NOT regexp_full_match({value}, {pattern}) OR {cast} IS NULL"
        if column.type in RANGES:
            wrong += f" OR {out_of_range(cast, column.type, kind)}"
        wrong = f"({wrong})"
    return (
        f"({value} = {missing} OR {wrong})"
        if column.required
        else f"({value} <> {missing} AND {wrong})"
    )


def as_declared(table: Table, query: str, found: Sequence[Tuple[str, str]]) -> str:
    """Return SQL that casts each column of a query to its declared type.

    `found` has the names and types of the query's columns. Raises DeclarationError if
    these names and types differ from the declaration. Only the width of integers may
    differ from the declaration, because the cast checks the range.
    """
    names, declared = [column for column, _ in found], [
        column.name for column in table.columns
    ]
    if names != declared:
        columns = (
            f"the SQL returns the columns {', '.join(names)}; declared:"
            f" {', '.join(declared)}"
        )
        raise DeclarationError(table.name, columns)
    for column, (_, kind) in zip(table.columns, found):
        if kind != TYPES[column.type] and not (
            kind in INTEGERS and TYPES[column.type] in INTEGERS
        ):
            types = (
                f"column {column.name} is {kind} in the SQL"
                f" but {column.type} in the declaration"
            )
            raise DeclarationError(table.name, types)
    casts = ", ".join(
        f"CAST({name(c.name)} AS {TYPES[c.type]}) AS {name(c.name)}"
        for c in table.columns
    )
    return f"SELECT {casts} FROM ({query})"


def data_files(paths: Iterable[Path], partition: Mapping[str, Type]) -> str:
    """Return a FROM item for the data files of a table. If the files are in folders
    named after the values of a column, `partition` has the name and type of this
    column.
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

    If a file was written before a column was added, the column is null in the rows of
    this file. If `naive` is true, timestamps are in UTC and have no time zone.
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


def sql_reason(error: str) -> str:
    """Return DuckDB's reason for refusing SQL. For an unknown column, the reason
    includes the names that DuckDB suggests.
    """
    first = error.strip().partition("\n")[0].partition(": ")[2] or error.strip()
    similar = re.search(r"Candidate bindings: (.*)", error)
    return f"{first} Did you mean {similar.group(1)}?" if similar else first


def storage_reason(error: str) -> str:
    """Return the operating system's reason why a file could not be written.

    In DuckDB's message, the reason follows the file's name; DuckDB 2 writes the name
    and the reason as JSON.
    """
    reason = re.search(r'": ([A-Z][^"]+)', error)
    return reason.group(1) if reason else error.strip().partition("\n")[0]
