"""What a declaration says, as Spark's SQL: how a source is read, which strings convert,
which columns come out.

The strings are the same as the embedded engine's (`lakekit.engines.duckdb.statements`).
Of a CSV file: every value as it stands, an empty one as ''. Of a Parquet file:
integers, decimals and booleans plainly; dates as YYYY-MM-DD; instants in UTC as
YYYY-MM-DDTHH:MM:SS, the fraction without zeros at its end, and Z (a time without a zone
is taken for UTC); floating-point numbers in the shortest text that reads back the same,
as Python writes it; a null as the source's missing mark.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

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
    "multiLine": True,  # also keeps the file in one piece, so that rows can be numbered
    "mode": "FAILFAST",
    "unescapedQuoteHandling": "RAISE_ERROR",
    "encoding": "UTF-8",
    "maxCharsPerColumn": -1,
}


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return "`" + identifier.replace("`", "``") + "`"


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def file(path: Path) -> str:
    """A file or folder for Spark's readers and writers of this machine; on a Databricks
    volume, for all machines'.
    """
    location = str(path.absolute())
    return location if location.startswith("/Volumes/") else f"file:{location}"


def pattern(path: Path) -> str:
    """A file for Spark's readers of sources, which would take `*`, `?`, brackets and
    braces for patterns.
    """
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", file(path))


def misfit(column: Column, source: Source) -> str:
    """True of a string that does not convert to the column's type, or is missing where
    it may not be.
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
    """The frame with each column of its declared type.

    Raises DeclarationError where names or types differ. Integers may differ in width;
    one that does not fit ends the query, which a cast would not: outside ANSI mode it
    wraps round.
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
    """Every column of a source file as the strings it came as, and where each row came
    from: `origin` has SQL for columns of `lakekit.declarations.tables.ORIGIN`. Raises
    SourceError for a column that has no text.
    """
    if opened.format == "csv":
        _check_text(opened)
        schema = StructType(
            [StructField(column, StringType()) for column in opened.header]
        )
        reader = session.read.schema(schema).options(**CSV, lineSep=opened.line_end)
        rows = reader.csv(pattern(opened.path))
        # Of one partition: from 0, without gaps.
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
    """A Parquet value as text, as the module's docstring has it."""
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
        # Java before 19 does not write the shortest text. A float goes by its own text,
        # not that of a nearby double.
        exact = value if kind == "double" else value.cast("string").cast("double")
        written = F.udf(repr, "string")(exact)
    elif kind.startswith("decimal"):
        # Spark would write a small one with an exponent.
        written = F.udf("{:f}".format, "string")(F.coalesce(value, F.lit(0).cast(kind)))
    else:
        raise SourceError(
            f"{opened.given} has a column {column} of type {kind},"
            " which has no plain text"
        )
    return F.when(value.isNull(), F.lit(opened.source.missing)).otherwise(written)


def _nanoseconds(path: Path) -> List[str]:
    """The columns of a Parquet file that hold nanoseconds, which Spark takes for
    numbers.
    """
    # `lakekit.sources.files` has read the file's header with it.
    import pyarrow.parquet as pq

    return [
        field.name
        for field in pq.read_schema(path)
        if str(field.type).startswith("timestamp[ns")
    ]


def _check_parquet_text(opened: OpenedFile) -> None:
    """Raise SourceError for a string that is not UTF-8: Spark would write its bytes
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
    """What Spark would let pass: bytes that are no UTF-8, for which it puts a
    replacement character; a quote that is never closed, which takes in all that
    follows; and rows that end in CRLF in a file of LF or CR, or a last row with another
    end, which leaves a part of it in a value. Raises SourceError, with the line.
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
    """A file's content in blocks of whole lines, with what follows the last LF at the
    end.
    """
    rest = b""
    with path.open("rb") as content:
        for block in iter(lambda: content.read(CHUNK), b""):
            lines, end, rest = (rest + block).rpartition(b"\n")
            yield lines + end
    yield rest


def csv_reason(opened: OpenedFile, error: str) -> str:
    """Line and reason of a malformed file, found by reading it again: Spark gives the
    row and not where it is.
    """
    return find_fault(opened.path, len(opened.header)) or f": {error}"


def columns_ddl(columns: Sequence[Column]) -> str:
    """Columns as CREATE TABLE and ADD COLUMNS take them."""
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
    """A value that `Engine.query` gave, as SQL; None for a type that has no order worth
    pruning by.
    """
    kinds = {int: "{}", datetime.date: "DATE '{}'", datetime.datetime: "TIMESTAMP '{}'"}
    if isinstance(value, str):
        return text(value)
    template = kinds.get(type(value))
    return None if template is None else template.format(value)
