"""Generates Spark SQL for declarations: SQL that reads sources, converts strings and
selects columns.

Values of source files become the same strings as in the embedded engine
(`lakekit.engines.duckdb.statements`). A CSV value is unchanged, and an empty value is
''. For Parquet values, `lakekit.sources.parquet.TYPES` defines the strings, and a null
becomes the source's text for a missing value.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any, Mapping, Match, Optional, Sequence, Tuple

from pyspark.sql import Column as SparkColumn, DataFrame, SparkSession, functions as F
from pyspark.sql.types import StringType, StructField, StructType

from lakekit.declarations.tables import Column, Source, Table
from lakekit.declarations.value_limits import RANGES, out_of_range
from lakekit.engines.patterns import PATTERNS
from lakekit.errors import DeclarationError, SourceError
from lakekit.sources import parquet
from lakekit.sources.files import OpenedFile
from lakekit.sources.parquet import Kind

INTEGERS: Mapping[str, int] = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
CSV: Mapping[str, Any] = {
    "header": True,
    "quote": '"',
    "escape": '"',
    "multiLine": True,  # reads the file in one partition, so rows can be numbered
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
    """In SQL that is written for both engines, replace the quotes of names by Spark's
    quotes. Spark would read a name in double quotes as a string.
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
    """Return the path that Spark uses for a file or a folder of this machine or of a
    Databricks volume.
    """
    location = str(path.absolute())
    return location if location.startswith("/Volumes/") else f"file:{location}"


def pattern(path: Path) -> str:
    """Return the path of a source file for Spark's readers. Characters of patterns,
    such as `*`, `?`, brackets and braces, are escaped.
    """
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", file(path))


def misfit(column: Column, source: Source) -> str:
    """Return a condition that is true for a string that does not convert to the
    column's type. The condition is also true for a missing value in a required column.
    """
    value, missing, wrong = name(column.name), text(source.missing), "false"
    if column.type != "string":
        whole = text(rf"\A(?:{PATTERNS[column.type]})\z")
        cast = f"try_cast({value} AS {column.type})"
        wrong = f"NOT ({value} RLIKE {whole}) OR {cast} IS NULL"
        if column.type in RANGES:
            wrong += f" OR {out_of_range(cast, column.type, column.type)}"
        wrong = f"({wrong})"
    return (
        f"({value} = {missing} OR {wrong})"
        if column.required
        else f"({value} <> {missing} AND {wrong})"
    )


def declared(table: Table, frame: DataFrame) -> DataFrame:
    """Cast every column of a frame to its declared type, and return the resulting
    frame.

    Raises DeclarationError if names or types differ. Integers may differ in width: if a
    value does not fit, the query fails. A cast alone would overflow silently outside
    ANSI mode.
    """
    names, wanted = frame.columns, [column.name for column in table.columns]
    if names != wanted:
        columns = (
            f"the SQL returns the columns {', '.join(names)}; declared:"
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
                f" but {column.type} in the declaration"
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
    """Return all columns of a source file as text, and the origin of each row.

    `origin` has SQL for columns of `lakekit.declarations.tables.ORIGIN`. Raises
    SourceError if a text in a Parquet file is not UTF-8.
    """
    if opened.format == "csv":
        schema = StructType(
            [StructField(column, StringType()) for column in opened.header]
        )
        reader = session.read.schema(schema).options(**CSV, lineSep=opened.line_end)
        rows = reader.csv(pattern(opened.path))
        # The frame has one partition, so the numbers start at 0 and have no gaps.
        number = F.monotonically_increasing_id()
        values = [
            F.coalesce(F.col(name(c)), F.lit("")).alias(c.lower())
            for c in opened.header
        ]
    else:
        # Spark would write bytes that are not UTF-8 to the table. DuckDB and delta-rs
        # could not read these bytes.
        fault = parquet.find_fault(opened.path, text_only=True)
        if fault:
            raise SourceError(f"{opened.given}{fault}")
        rows = session.read.parquet(pattern(opened.path))
        number = F.col("_metadata.row_index")
        kinds = dict(rows.dtypes)
        values = [
            F.when(F.col(name(c)).isNull(), F.lit(opened.source.missing))
            .otherwise(_plain(c, written, kinds[c]))
            .alias(c.lower())
            for c, written in zip(opened.header, opened.kinds)
        ]
    origins = [
        (number + 1 if c == "_source_row" else F.expr(sql)).alias(c)
        for c, sql in origin.items()
    ]
    return rows.select(*values, *origins)


def _plain(column: str, written: Kind, kind: str) -> SparkColumn:
    """Return a Parquet value as text, as `lakekit.sources.parquet.TYPES` defines it.
    `kind` is Spark's type.
    """
    value = F.col(name(column))
    if written in ("instant", "local"):
        return F.concat(_time(name(column), kind), F.lit("Z" * (written == "instant")))
    if written in ("float", "double"):
        # The text of a float must be the shortest text that identifies the float.
        # Before version 19, Java may write a longer text. As a double, the same value
        # may have a longer text.
        exact = value if written == "double" else value.cast("string").cast("double")
        return F.udf(repr, "string")(exact)
    if written == "decimal":
        # Spark would write small numbers with an exponent.
        return F.udf("{:f}".format, "string")(F.coalesce(value, F.lit(0).cast(kind)))
    return value.cast("string")


def _time(value: str, kind: str) -> SparkColumn:
    """Return a timestamp as text without a zone. Spark reads timestamps with
    nanoseconds as integers.
    """
    if kind != "bigint":
        return F.translate(F.expr(value).cast("string"), " ", "T")
    rest = f"pmod({value}, 1000000000)"
    seconds = f"timestamp_seconds(({value} - {rest}) div 1000000000)"
    digits = f"rtrim('0', '.' || lpad(cast({rest} AS string), 9, '0'))"
    return F.expr(
        f"translate(cast({seconds} AS string), ' ', 'T') || rtrim('.', {digits})"
    )


def columns_ddl(columns: Sequence[Column]) -> str:
    """Return columns in the syntax of CREATE TABLE and ADD COLUMNS."""
    definitions = []
    for column in columns:
        required = " NOT NULL" if column.required else ""
        comment = f" COMMENT {text(column.comment)}" if column.comment else ""
        definitions.append(f"{name(column.name)} {column.type}{required}{comment}")
    return ", ".join(definitions)


def columns_of(schema: StructType) -> Tuple[Column, ...]:
    """Return the columns of a stored table. If lakekit does not know a type, the column
    has Spark's name of the type.
    """
    return tuple(map(_column, schema.fields))


def _column(field: StructField) -> Column:
    kind: Any = field.dataType.simpleString()
    comment = str(field.metadata.get("comment", ""))
    return Column(field.name, kind, not field.nullable, comment)


def literal(value: Any) -> Optional[str]:
    """Return a value from a result of `Engine.query` as an SQL literal. Returns None
    for a type whose bounds do not help Delta to skip files.
    """
    kinds = {int: "{}", datetime.date: "DATE '{}'", datetime.datetime: "TIMESTAMP '{}'"}
    if isinstance(value, str):
        return text(value)
    template = kinds.get(type(value))
    return None if template is None else template.format(value)
