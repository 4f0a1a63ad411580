"""Spark SQL for declarations: reading a source, converting strings, and selecting
columns.

The strings are the same as the embedded engine's (`lakekit.engines.duckdb.statements`).
CSV: every value unchanged, an empty value as ''. Parquet: integers, decimals and
booleans as plain text; dates as YYYY-MM-DD; instants in UTC as YYYY-MM-DDTHH:MM:SS, the
fraction without trailing zeros, and Z (a time without a zone is read as UTC);
floating-point numbers in the shortest text that converts to the same number, as in
Python; a null as the source's missing mark.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Match, Optional, Sequence, Tuple

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from lakekit.declarations.tables import Column, Source, Table
from lakekit.engines.patterns import PATTERNS
from lakekit.errors import DeclarationError, SourceError
from lakekit.sources.csv import CHUNK, find_fault
from lakekit.sources.files import OpenedFile

INTEGERS: Mapping[str, int] = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
PLAIN = ("string", "boolean", "date", *INTEGERS)
CSV: Mapping[str, Any] = {
    "header": True,
    "quote": '"',
    "escape": '"',
    "multiLine": True,  # also reads the file in one piece, so that rows can be numbered
    "mode": "FAILFAST",
    "unescapedQuoteHandling": "RAISE_ERROR",
    "encoding": "UTF-8",
    "maxCharsPerColumn": -1,
}


QUOTES = re.compile(
    r"'(?:[^'\\]|\\.)*'|`[^`]*`|\"(?P<name>(?:[^\"]|\"\")*)\"", re.DOTALL
)
"""Matches a string, a name in Spark's quotes, or a name in double quotes."""


def name(identifier: str) -> str:
    """Return a quoted identifier."""
    return "`" + identifier.replace("`", "``") + "`"


def own_quotes(sql: str) -> str:
    """Return SQL for both engines with its names in Spark's quotes: Spark reads double
    quotes as those of a string.
    """

    def replaced(found: Match[str]) -> str:
        quoted = found.group("name")
        if quoted is None:
            return found.group(0)
        return name(quoted.replace('""', '"'))

    return QUOTES.sub(replaced, sql)


def text(value: str) -> str:
    """Return a string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def file(path: Path) -> str:
    """Return the path of a file or folder for Spark's readers and writers on this
    machine, or on a Databricks volume for those on all machines.
    """
    location = str(path.absolute())
    return location if location.startswith("/Volumes/") else f"file:{location}"


def pattern(path: Path) -> str:
    """Return the path of a source file for Spark's readers, which interpret `*`, `?`,
    brackets and braces as patterns.
    """
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", file(path))


def misfit(column: Column, source: Source) -> str:
    """Return a condition that is true for a string that does not convert to the
    column's type, or that is missing in a required column.
    """
    value, missing, wrong = name(column.name), text(source.missing), "false"
    if column.type != "string":
        whole = text(rf"\A(?:{PATTERNS[column.type]})\z")
        wrong = (
            f"(NOT ({value} RLIKE {whole})"
            f" OR try_cast({value} AS {column.type}) IS NULL)"
        )
    return (
        f"({value} = {missing} OR {wrong})"
        if column.required
        else f"({value} <> {missing} AND {wrong})"
    )


def declared(table: Table, frame: DataFrame) -> DataFrame:
    """Return the frame with each column in its declared type.

    Raises DeclarationError if names or types differ. Integers may differ in width: a
    value that does not fit makes the query fail. A cast would overflow silently outside
    ANSI mode.
    """
    names, wanted = frame.columns, [column.name for column in table.columns]
    if names != wanted:
        columns = (
            f"the SQL gives the columns {', '.join(names)}; declared:"
            f" {', '.join(wanted)}"
        )
        raise DeclarationError(table.name, columns)
    casts = []
    for column, (_, kind) in zip(table.columns, frame.dtypes):
        value = name(column.name)
        if kind == column.type:
            casts.append(value)
            continue
        if kind not in INTEGERS or column.type not in INTEGERS:
            types = (
                f"column {column.name} is {kind} in the SQL"
                f" and {column.type} as declared"
            )
            raise DeclarationError(table.name, types)
        cast = f"CAST({value} AS {column.type})"
        if INTEGERS[kind] > INTEGERS[column.type]:
            fault = (
                f"raise_error(concat('{column.name} is ', {value}, ', too large for"
                f" {column.type}'))"
            )
            cast = (
                f"CASE WHEN {value} IS NULL OR {cast} = {value}"
                f" THEN {cast} ELSE {fault} END"
            )
        casts.append(f"{cast} AS {value}")
    return frame.selectExpr(*casts)


def read_source(
    session: SparkSession, opened: OpenedFile, origin: Mapping[str, str]
) -> DataFrame:
    """Return every column of a source file as text, and the origin of each row.

    `origin` has SQL for columns of `lakekit.declarations.tables.ORIGIN`. Raises
    SourceError for a column that cannot be converted to text.
    """
    if opened.format == "csv":
        _check_text(opened)
        schema = StructType(
            [StructField(column, StringType()) for column in opened.header]
        )
        reader = session.read.schema(schema).options(**CSV, lineSep=opened.line_end)
        rows = reader.csv(pattern(opened.path))
        # The frame has one partition, so numbers start at 0 and have no gaps.
        number = F.monotonically_increasing_id()
        values = [
            F.coalesce(F.col(name(c)), F.lit("")).alias(c.lower())
            for c in opened.header
        ]
    else:
        _check_parquet_text(opened)
        rows = session.read.parquet(pattern(opened.path))
        number = F.col("_metadata.row_index")
        nanoseconds = _nanoseconds(opened.path)
        values = [
            _plain(opened, c, kind, c in nanoseconds).alias(c.lower())
            for c, kind in rows.dtypes
        ]
    origins = [
        (number + 1 if c == "_source_row" else F.expr(sql)).alias(c)
        for c, sql in origin.items()
    ]
    return rows.select(*values, *origins)


def _plain(
    opened: OpenedFile, column: str, kind: str, nanoseconds: bool
) -> SparkColumn:
    """Return a Parquet value as text, as described in the module's docstring."""
    value = F.col(name(column))
    if nanoseconds:
        value, kind = (
            F.expr(
                f"timestamp_micros(({name(column)}"
                f" - pmod({name(column)}, 1000)) div 1000)"
            ),
            "timestamp",
        )
    if kind in PLAIN:
        written = value.cast("string")
    elif kind in ("timestamp", "timestamp_ntz"):
        written = F.concat(F.translate(value.cast("string"), " ", "T"), F.lit("Z"))
    elif kind in ("float", "double"):
        # Java before 19 does not write the shortest text. A float is converted by its
        # own text, not by that of a nearby double.
        exact = value if kind == "double" else value.cast("string").cast("double")
        written = F.udf(repr, "string")(exact)
    elif kind.startswith("decimal"):
        # Spark would write a small number with an exponent.
        written = F.udf("{:f}".format, "string")(F.coalesce(value, F.lit(0).cast(kind)))
    else:
        raise SourceError(
            f"{opened.given} has a column {column} of type {kind},"
            " which has no plain text"
        )
    return F.when(value.isNull(), F.lit(opened.source.missing)).otherwise(written)


def _nanoseconds(path: Path) -> List[str]:
    """Return the columns of a Parquet file that have nanoseconds, which Spark reads as
    numbers.
    """
    # Already imported by `lakekit.sources.files`, which read the file's header.
    import pyarrow.parquet as pq

    return [
        field.name
        for field in pq.read_schema(path)
        if str(field.type).startswith("timestamp[ns")
    ]


def _check_parquet_text(opened: OpenedFile) -> None:
    """Raise SourceError for a string that is not UTF-8. Spark would write its bytes
    into the table, where DuckDB and delta-rs could not read them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(opened.path) as file:
        columns = (file.schema.column(index) for index in range(len(file.schema)))
        for column in [
            each.name for each in columns if each.physical_type == "BYTE_ARRAY"
        ]:
            try:
                for batch in file.iter_batches(columns=[column]):
                    batch.validate(full=True)
            except pa.ArrowInvalid as error:
                raise SourceError(
                    f"{opened.given}, column {column}: not UTF-8"
                ) from error


def _check_text(opened: OpenedFile) -> None:
    """Raise SourceError, with the line, for malformed text that Spark accepts.

    - Bytes that are not UTF-8, which Spark replaces by a replacement character.
    - A quote that is never closed, which includes all further lines in the value.
    - Rows that end in CRLF in a file of LF or CR, or a last row with a different line
      end, of which Spark leaves a part in a value.
    """
    lines, quotes, mixed, last = 1, 0, False, b""
    for part in _line_blocks(opened.path):
        try:
            part.decode()
        except UnicodeDecodeError as error:
            line = lines + part.count(b"\n", 0, error.start)
            raise SourceError(
                f"{opened.given}, line {line}: not UTF-8 ({error.reason})"
            ) from error
        lines += part.count(b"\n")
        quotes += part.count(b'"')
        mixed = mixed or (opened.line_end != "\r\n" and b"\r\n" in part)
        last = (last + part[-2:])[-2:]
    mixed = mixed or (
        last[-1:] in (b"\r", b"\n") and not last.endswith(opened.line_end.encode())
    )
    if quotes % 2 or mixed:
        fault = find_fault(opened.path, len(opened.header))
        if fault:
            raise SourceError(f"{opened.given}{fault}")


def _line_blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's content in blocks of whole lines, and finally the text after the
    last LF.
    """
    rest = b""
    with path.open("rb") as content:
        for block in iter(lambda: content.read(CHUNK), b""):
            lines, end, rest = (rest + block).rpartition(b"\n")
            yield lines + end
    yield rest


def csv_reason(opened: OpenedFile, error: str) -> str:
    """Return the line and the reason of a malformed file. Reads the file again, because
    Spark reports the row but not its line.
    """
    return find_fault(opened.path, len(opened.header)) or f": {error}"


def columns_ddl(columns: Sequence[Column]) -> str:
    """Return columns in the syntax of CREATE TABLE and ADD COLUMNS."""
    definitions = []
    for column in columns:
        required = " NOT NULL" if column.required else ""
        comment = f" COMMENT {text(column.comment)}" if column.comment else ""
        definitions.append(f"{name(column.name)} {column.type}{required}{comment}")
    return ", ".join(definitions)


def columns_of(schema: StructType) -> Tuple[Column, ...]:
    """Return the columns of a stored table; an unknown type has its own name."""
    return tuple(map(_column, schema.fields))


def _column(field: StructField) -> Column:
    kind: Any = field.dataType.simpleString()
    comment = str(field.metadata.get("comment", ""))
    return Column(field.name, kind, not field.nullable, comment)


def literal(value: Any) -> Optional[str]:
    """Return a value of `Engine.query` as SQL; None for a type whose order does not
    help file skipping.
    """
    kinds = {int: "{}", datetime.date: "DATE '{}'", datetime.datetime: "TIMESTAMP '{}'"}
    if isinstance(value, str):
        return text(value)
    template = kinds.get(type(value))
    return None if template is None else template.format(value)
