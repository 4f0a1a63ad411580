"""Reads the header, line ends, number of rows and first fault of CSV files in Python.

The results are compared with what an engine reads, so this module does not depend on an
engine. A file without quotes has as many rows as lines, which are counted while the
file is hashed. Only files with quotes, which may contain line breaks, are parsed a
second time.
"""

from __future__ import annotations

import csv
import hashlib
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import Deque, Iterable, Iterator, List, Optional, Tuple, Union

from lakekit.errors import SourceError

CHUNK = 1 << 20
LINE_ENDS = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}


def read_header(given: Path, path: Path) -> Tuple[Tuple[str, ...], str]:
    """Return the column names of the CSV file `path`, and the line end of its header:
    LF, CRLF or CR.

    Errors name the file as `given`. Raises SourceError for a file without a header or
    without rows.
    """
    try:
        with _open_text(path) as text:
            lines: List[str] = []
            reader = csv.reader(_recorded(text, lines), strict=True)
            names = next(reader, [])
            if not names:
                raise SourceError(f"{given} is empty")
            line_end = _line_end(lines[-1])
            if not any(reader):  # blank lines are not rows
                raise SourceError(f"{given} has a header and no rows")
    except UnicodeDecodeError as error:
        raise SourceError(f"{given} is not UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise SourceError(f"{given}, line 1 or 2: {error}") from error
    return tuple(names), line_end


def hash_and_count(path: Path) -> Tuple[str, Optional[int]]:
    """Return the SHA-256 of a file and its number of lines without blank lines, in one
    pass.

    The number is None if the file has a quote, because a line break in a quoted value
    does not end a row.
    """
    digest, lines, quoted, last = hashlib.sha256(), 0, False, b"\n"
    with path.open("rb") as content:
        for block in iter(lambda: content.read(CHUNK), b""):
            digest.update(block)
            quoted = quoted or b'"' in block
            if not quoted:
                # The previous byte shows whether a line break at the start of a block
                # ends a line.
                lines += _line_ends(last + block) - (last in b"\r\n")
                last = block[-1:]
    return digest.hexdigest(), None if quoted else lines + (last not in b"\r\n")


def _line_ends(block: bytes) -> int:
    """Return the number of line ends of any kind, without those of blank lines."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    while b"\n\n" in block:
        block = block.replace(b"\n\n", b"\n")
    return block.count(b"\n")


def count_rows(path: Path, expected: int) -> int:
    """Return the number of rows of a CSV file, without its header and blank lines.

    Python's parser defines the result. It is slow, so Arrow's parser first counts a
    file of more than 1 MiB, and its count is returned if it is the expected number.
    """
    if path.stat().st_size > CHUNK and _count_by_arrow(path) == expected:
        return expected
    with _open_text(path, errors="replace") as text:
        return sum(1 for row in csv.reader(_without_nul(text)) if row) - 1


def _count_by_arrow(path: Path) -> Optional[int]:
    """Return the number of rows counted by Arrow; None if Arrow is not installed or
    rejects the file.
    """
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ModuleNotFoundError:
        return None
    read = arrow_csv.ReadOptions(
        use_threads=False, block_size=CHUNK, autogenerate_column_names=True
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    first = arrow_csv.ConvertOptions(
        include_columns=["f0"], column_types={"f0": pa.binary()}
    )
    try:
        with arrow_csv.open_csv(path, read, parse, first) as batches:
            return sum(batch.num_rows for batch in batches) - 1
    except (pa.ArrowException, OSError):
        return None


def find_fault(path: Path, columns: int) -> Optional[str]:
    """Return the line and reason of the first faulty row; None if there is none.

    A row is faulty if it is malformed, has a different number of columns, or a
    different line end than the header.
    """
    with _open_text(path) as text:
        last: Deque[str] = deque(maxlen=1)
        reader, end = csv.reader(_recorded(_without_nul(text), last), strict=True), ""
        try:
            for row in reader:
                if row and len(row) != columns:
                    wanted = f"Expected Number of Columns: {columns} Found: {len(row)}"
                    return f", line {reader.line_num}: {wanted}"
                here = _line_end(last[0])
                end = end or here
                if here not in ("", end):
                    kinds = f"ends in {LINE_ENDS[here]}, line 1 in {LINE_ENDS[end]}"
                    return f", line {reader.line_num}: {kinds}"
        except csv.Error as error:
            return f", line {reader.line_num}: {error}"
    return None


@contextmanager
def _open_text(path: Path, errors: str = "strict") -> Iterator[Iterable[str]]:
    """Yield the lines of a file with their line ends."""
    csv.field_size_limit(2**31 - 1)  # a field of more than 128 KiB is not an error
    with path.open(encoding="utf-8-sig", newline="", errors=errors) as text:
        yield text


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """Replace the character NUL in lines: csv before Python 3.11 rejects it, but
    engines read it.
    """
    return (line.replace("\0", "\1") for line in lines)


def _recorded(
    lines: Iterable[str], seen: Union[List[str], Deque[str]]
) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line


def _line_end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
