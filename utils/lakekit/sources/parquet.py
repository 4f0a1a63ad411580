"""Before an engine reads Parquet files, checks their column types, and whether they are
damaged. The allowed types are the same for both engines.

The engines convert values to text as defined in `TYPES`, so bronze has the same text
for all engines and file formats. A column whose type is not in `TYPES` is refused,
because an engine might convert its values to different text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Mapping, Optional, Tuple

from lakekit.errors import MissingExtraError, SourceError
from lakekit.sources.archives import MAX_RATIO, RATIO_FROM, bytes_of

if TYPE_CHECKING:
    import pyarrow as pa  # optional; not needed for CSV files
    import pyarrow.parquet as pq

Kind = Literal[
    "text",
    "boolean",
    "integer",
    "float",
    "double",
    "decimal",
    "date",
    "instant",
    "local",
]
"""How a value is written as text. A `local` value is a timestamp without a time zone,
so it is not an instant. The text of a `local` value has no Z, and does not convert to
the type timestamp.
"""

TYPES: Mapping[str, Tuple[Kind, str]] = {
    "is_string": ("text", "unchanged"),
    "is_large_string": ("text", "unchanged"),
    "is_string_view": ("text", "unchanged"),
    "is_null": (
        "text",
        "the source's text for a missing value, because the column has no values",
    ),
    "is_boolean": ("boolean", "true or false"),
    "is_integer": ("integer", "its digits"),
    "is_float32": ("float", "the shortest text of the same number, as in Python"),
    "is_float64": ("double", "the shortest text of the same number, as in Python"),
    "is_decimal": ("decimal", "all digits of its scale; at most 38 digits"),
    "is_date": ("date", "YYYY-MM-DD"),
    "is_timestamp": (
        "instant",
        "YYYY-MM-DDTHH:MM:SS, a fraction of up to nine digits without trailing zeros,"
        " and Z; without a zone, no Z",
    ),
}
"""The Parquet types that can be read. Each key is the function of `pyarrow.types` that
recognizes the type; each value is the kind and a description of the text. A dictionary
type is read like the type of its values.
"""
MAX_DIGITS = 38
WIDTHS: Mapping[str, int] = {
    "BOOLEAN": 1,
    "INT32": 4,
    "INT64": 8,
    "INT96": 12,
    "FLOAT": 4,
    "DOUBLE": 8,
    "BYTE_ARRAY": 4,
}
"""The size in bytes of a decoded value, by physical type. For text, the size is that of
the field that stores the text's length.
"""


def read(given: Path, limit: str) -> Tuple[Tuple[str, ...], Tuple[Kind, ...], int]:
    """Return the names of a Parquet file's columns, how the values of each column are
    written as text, and the number of rows.

    Raises SourceError if the file is damaged, has no rows, decodes to more than
    `limit`, or has a column of a type that is not in `TYPES`. Raises MissingExtraError
    if pyarrow is not installed.
    """
    with _open(given) as file:
        if not file.metadata.num_rows:
            raise SourceError(f"{given} has no rows")
        _check_size(given, file, limit)
        kinds = tuple(
            _kind(given, file, index) for index in range(len(file.schema_arrow))
        )
        return tuple(file.schema_arrow.names), kinds, int(file.metadata.num_rows)


def _check_size(given: Path, file: pq.ParquetFile, limit: str) -> None:
    """Raise SourceError if the file decodes to more than `limit`, or if its pages are
    more than `MAX_RATIO` times as large as the file. Only the footer is read.

    A file of a few kilobytes can repeat a value a billion times. Repeated values alone
    are no reason to refuse a file, because both engines keep repeated values as they
    are stored. But each row takes space in a table, so the size of all rows is limited.
    """
    metadata, size = file.metadata, given.stat().st_size
    columns = [file.schema.column(index) for index in range(len(file.schema))]
    row = sum(WIDTHS.get(each.physical_type, each.length or 0) for each in columns)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    pages = sum(group.total_byte_size for group in groups)
    decoded = max(row * metadata.num_rows, pages)
    if decoded > bytes_of(limit):
        raise SourceError(
            f"{given} has {size:,} bytes and decodes to {decoded:,}, more than {limit}",
            "If the file is correct, set a larger limit, such as --unpacked 200GB.",
        )
    if pages > max(RATIO_FROM, MAX_RATIO * size):
        raise SourceError(
            f"{given} has {size:,} bytes and its pages have {pages:,}, more than"
            f" {MAX_RATIO} times its size",
            "If the file is correct, write it without compression.",
        )


def find_fault(path: Path, text_only: bool = False) -> Optional[str]:
    """Return the first column with values that cannot be read or are not UTF-8, and the
    reason; None if no column has a fault. If `text_only` is true, only columns with
    text are read.
    """
    import pyarrow as pa

    with _open(path) as file:
        for index, field in enumerate(file.schema_arrow):
            column = file.schema.column(index)
            if text_only and column.physical_type != "BYTE_ARRAY":
                continue
            try:
                for batch in file.iter_batches(columns=[field.name]):
                    batch.validate(full=True)
            except (pa.ArrowException, OSError) as error:
                reason = str(error).partition("\n")[0]
                what = "not UTF-8" if "UTF8" in reason else f"not readable ({reason})"
                return f", column {field.name}: {what}"
    return None


def has_nanoseconds(path: Path, column: str) -> bool:
    """Return whether a column of instants has values with more than six decimal places
    in the seconds.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    with _open(path) as file:
        if file.schema_arrow.field(column).type.unit != "ns":
            return False
        for batch in file.iter_batches(columns=[column]):
            numbers = batch.column(0).cast(pa.int64())
            micros = pc.multiply(pc.divide(numbers, 1000), 1000)
            if pc.any(pc.not_equal(numbers, micros)).as_py():
                return True
    return False


def _open(path: Path) -> pq.ParquetFile:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "embedded") from error
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path} is not a complete Parquet file ({str(error).splitlines()[0]})"
        ) from error


def _kind(given: Path, file: pq.ParquetFile, index: int) -> Kind:
    """Return how the values of a column are written as text. Raises SourceError if the
    type is not in `TYPES`.
    """
    from pyarrow import types

    field = file.schema_arrow.field(index)
    kind = field.type
    if getattr(kind, "extension_name", "") == "arrow.json":  # old pyarrow lacks it
        kind = kind.storage_type
    if types.is_dictionary(kind):
        kind = kind.value_type
    written = next((TYPES[each][0] for each in TYPES if _is(kind, each)), None)
    if written is None:
        raise _unreadable(given, field)
    if written == "decimal" and kind.precision > MAX_DIGITS:
        raise _unreadable(given, field)
    if written == "instant":
        # INT96 has no flag for a time zone. Spark and Hive use INT96 for instants.
        physical = file.schema.column(index).physical_type
        return "instant" if kind.tz or physical == "INT96" else "local"
    return written


def _is(kind: pa.DataType, function: str) -> bool:
    from pyarrow import types

    # Old versions of pyarrow have no string views.
    return bool(getattr(types, function, lambda _: False)(kind))


def _unreadable(given: Path, field: pa.Field[Any]) -> SourceError:
    return SourceError(
        f"{given} has a column {field.name} of type {field.type}, which lakekit does"
        " not read",
        "Write the column as text, number, boolean, date or timestamp, or leave it"
        " out, then run again.",
    )
