"""Checks that a CSV file follows the CSV rule, before an engine reads the file.

The CSV rule applies to the header and to every row:

- The text is UTF-8, with or without a byte order mark. The first line is the header.
- Every line outside quoted values has the same end as the header: LF, CRLF or CR.
- A quoted value is quoted as a whole, and quotes within it are doubled. In a value that
  is not quoted, a quote is an ordinary character, but must not follow leading spaces.
- A row has as many values as the header, and at most `MAX_ROW` bytes. A row does not
  start with the character NUL.
- Blank lines are not rows.

`_scan` reads a file in blocks, and tries to prove that the file follows the CSV rule.
If the proof fails, `_check` reads the file value by value, and finds the line and the
reason of a fault.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator, List, NamedTuple, Optional, Tuple, Union

from lakekit.errors import SourceError

CHUNK = 1 << 20
MAX_ROW = 16_000_000
"""The maximum size of a row in bytes, including its line end."""
BOM = b"\xef\xbb\xbf"
LINE_ENDS = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
LINE_END = re.compile(rb"\r\n|\r|\n")
QUOTED = rb'"[^"]*(?:""[^"]*)*"'
VALUE = re.compile(rb"(?:" + QUOTED + rb'|(?![ \t]*")[^,\r\n]*)(,|\r\n|\r|\n|\Z)')
"""Matches a value, and the comma or the line end that follows it."""
CLOSED = re.compile(QUOTED + rb'(?!")')
CLASSES = bytes(
    byte if byte == ord('"') else ord("," if byte in b",\r\n" else "x")
    for byte in range(256)
)
"""Translates separators to commas, and all other bytes except quotes to x."""

Content = Union[bytes, mmap.mmap]


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that follows the CSV rule.

    Attributes:
        header: its column names.
        line_end: how all lines of the file end, as text: LF, CRLF or CR.
        rows: the number of rows.
        largest_row: an upper bound of the size of the file's rows, in bytes.
    """

    header: Tuple[str, ...]
    line_end: str
    rows: int
    largest_row: int


class Row(NamedTuple):
    """A row of a file. `start` is the position of the row's first byte. `values` has
    the positions of the start and the end of each value. `line_end` is empty at the end
    of the file.
    """

    start: int
    values: List[Tuple[int, int]]
    line_end: bytes

    @property
    def end(self) -> int:
        """Return the position after the row's last byte."""
        return self.values[-1][1] + len(self.line_end)

    @property
    def blank(self) -> bool:
        """Return whether the row is a blank line."""
        return len(self.values) == 1 and self.values[0][0] == self.values[0][1]


class FaultError(Exception):
    """A file violates the CSV rule. `byte` is the position of the fault."""

    def __init__(self, byte: int, reason: str) -> None:
        super().__init__(byte, reason)
        self.byte, self.reason = byte, reason


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        for block in iter(lambda: content.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def read(given: Path, path: Path) -> Tuple[CsvFile, str]:
    """Return the CSV file `path`, and the SHA-256 of its content. The content is read
    once.

    Raises SourceError, with the line and the reason, if the file violates the CSV rule,
    or has no header or no rows. Error messages contain the path `given`.
    """
    try:
        names, line_end = _read_header(path)
        file, digest = _scan(path, names, line_end)
        if file is None:
            with _mapped(path) as content:
                file = _check(content, names, line_end)
    except FaultError as fault:
        with _mapped(path) as content:
            line = _line(content, fault.byte)
        raise SourceError(f"{given}, line {line}: {fault.reason}") from fault
    if not names:
        raise SourceError(f"{given} is empty")
    if not file.rows:
        raise SourceError(f"{given} has a header and no rows")
    return file, digest


def find_fault(path: Path) -> Optional[str]:
    """Return the line and the reason of the first fault; None if the file follows the
    CSV rule.
    """
    with _mapped(path) as content:
        try:
            names, line_end = _read_header(path)
            _check(content, names, line_end)
        except FaultError as fault:
            return f", line {_line(content, fault.byte)}: {fault.reason}"
    return None


def _read_header(path: Path) -> Tuple[Tuple[str, ...], bytes]:
    """Return the column names in the header, and the line end of the header. If the
    file has no text, the result has no names. Raises FaultError if the header violates
    the CSV rule.
    """
    with path.open("rb") as content:
        head = content.read(CHUNK)
        row = _first_row(head, partial=len(head) == CHUNK)
        if row is None or row.end == len(head):
            head += content.read(MAX_ROW)
            row = _first_row(head, partial=False)
    if row is None:
        return (), b"\n"
    if row.blank:
        if not head.strip():
            return (), b"\n"
        raise FaultError(row.start, "the line is blank; the first line is the header")
    if row.end - row.start > MAX_ROW:
        raise FaultError(row.start, f"the header has more than {MAX_ROW:,} bytes")
    try:
        values = [head[start:end].decode() for start, end in row.values]
    except UnicodeDecodeError as error:
        raise FaultError(row.start, f"not UTF-8 ({error.reason})") from error
    names = (
        value[1:-1].replace('""', '"') if value.startswith('"') else value
        for value in values
    )
    return tuple(names), row.line_end or b"\n"


def _first_row(head: bytes, partial: bool) -> Optional[Row]:
    """Return the first row of a text; None if there is no row. If `partial` is true,
    the text is only the start of a file. In this case, the result is also None if a
    quoted name may continue after the text.
    """
    try:
        return next(_rows(head), None)
    except FaultError:
        if partial:
            return None
        raise


def _scan(
    path: Path, names: Tuple[str, ...], line_end: bytes
) -> Tuple[Optional[CsvFile], str]:
    """Return the file and its SHA-256. Returns None instead of the file if it cannot be
    proven that the file follows the CSV rule.

    The proof fails if there is a quote where the CSV rule does not require a quote.
    Text outside quotes is checked in blocks of whole lines by methods of `bytes`, which
    are fast.
    """
    digest, proven, within, ended = hashlib.sha256(), True, False, True
    rows, commas, largest, size = -1, 0, 0, 0
    with path.open("rb") as content:
        for block in _blocks(content, line_end):
            digest.update(block)
            if not proven:
                continue
            block = block[len(BOM) :] if rows < 0 and block[:3] == BOM else block
            size = len(block) + (size if within else 0)
            text, within = _outside(block, within)
            largest = max(largest, size)
            if line_end in text:  # the row that started in an earlier block ends here
                size = len(block)
            ended = within or block.endswith(line_end)
            rows, commas = rows + _count(text, line_end), commas + text.count(b",")
            proven = (
                largest <= MAX_ROW and _is_utf8(block) and _is_proven(text, line_end)
            )
    rows += not ended
    # The number of commas in all rows is checked, too. Engines refuse a row with too
    # few values, but DuckDB drops an additional empty value.
    if within or not proven or commas != (rows + 1) * (len(names) - 1):
        return None, digest.hexdigest()
    return CsvFile(names, line_end.decode(), rows, largest), digest.hexdigest()


def _blocks(content: IO[bytes], line_end: bytes) -> Iterator[bytes]:
    """Yield a file's content in blocks of whole lines. A line of more than `MAX_ROW`
    bytes is divided into several blocks.
    """
    rest = b""
    for block in iter(lambda: content.read(CHUNK), b""):
        lines, end, rest = (rest + block).rpartition(line_end)
        if end:
            yield lines + end
        elif len(rest) > MAX_ROW:
            yield rest
            rest = b""
    if rest:
        yield rest


def _outside(block: bytes, within: bool) -> Tuple[bytes, bool]:
    """Return the text of a block outside quoted values, and whether the block ends
    within a quoted value.

    Each quoted value is replaced by one quote. If doubled quotes or the ends of the
    block divide a quoted value, each part is replaced by one quote. `within` is true if
    the block starts within a quoted value.
    """
    if b'"' not in block:
        return (b'"' if within else block), within
    parts = block.split(b'"')
    now = within ^ (len(parts) % 2 == 0)
    text = b'"'.join(parts[within::2])
    return b'"' * within + text + b'"' * now, now


def _is_utf8(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _is_proven(text: bytes, line_end: bytes) -> bool:
    """Return whether a text outside quoted values follows the CSV rule: line ends of
    one kind, quotes only beside separators, and no NUL.
    """
    if b"\0" in text:
        return False
    if b'"' in text:
        shape = text.translate(CLASSES)
        if b'"x' in shape or b'x"' in shape:
            return False
    if line_end == b"\r\n":
        ends = text.count(line_end)
        return text.count(b"\r") == ends and text.count(b"\n") == ends
    return (b"\r" if line_end == b"\n" else b"\n") not in text


def _count(text: bytes, line_end: bytes) -> int:
    """Return the number of rows that end in a text outside quoted values."""
    while line_end * 2 in text:
        text = text.replace(line_end * 2, line_end)
    return text.count(line_end) - text.startswith(line_end)


def _check(content: Content, names: Tuple[str, ...], line_end: bytes) -> CsvFile:
    """Read a file value by value, and return its description. Raises FaultError if the
    file violates the CSV rule.
    """
    _check_utf8(content)
    rows, largest = -1, 0
    for row in _rows(content):
        if row.line_end not in (b"", line_end):
            here, first = LINE_ENDS[row.line_end], LINE_ENDS[line_end]
            what = f"ends in {here}, line 1 in {first}; all line ends must be the same"
            raise FaultError(row.start, what)
        if row.blank:
            continue
        rows, largest = rows + 1, max(largest, row.end - row.start)
        if largest > MAX_ROW:
            raise FaultError(row.start, _too_large(row))
        if content[row.start : row.start + 1] == b"\0":
            raise FaultError(row.start, "the row starts with the character NUL")
        if len(row.values) != len(names):
            what = f"has {len(row.values)} values, but the header has {len(names)}"
            raise FaultError(row.start, what)
    return CsvFile(names, line_end.decode(), rows, largest)


def _check_utf8(content: Content) -> None:
    position = 0
    while position < len(content):
        block = content[position : position + CHUNK + 3]  # at least one character
        try:
            block.decode()
        except UnicodeDecodeError as error:
            # A block may end within a character, but a file may not.
            if error.start == 0 or position + len(block) == len(content):
                what = f"not UTF-8 ({error.reason})"
                raise FaultError(position + error.start, what) from error
            block = block[: error.start]
        position += len(block)


def _rows(content: Content) -> Iterator[Row]:
    """Yield the rows of a CSV file, including blank lines. Raises FaultError if quotes
    violate the CSV rule.
    """
    position = len(BOM) if content[:3] == BOM else 0
    size, comma = len(content), False
    start, values = position, []
    while position < size or comma:
        value = VALUE.match(content, position)
        if value is None:
            raise _misquoted(content, position)
        values.append((position, value.start(1)))
        position, comma = value.end(), value.group(1) == b","
        if not comma:
            yield Row(start, values, value.group(1))
            start, values = position, []


def _misquoted(content: Content, position: int) -> FaultError:
    """Return the fault of a value that `VALUE` does not match."""
    if content[position : position + 1] != b'"':
        return FaultError(position, "a value has spaces before its quote")
    closed = CLOSED.match(content, position)
    if closed is None:
        return FaultError(position, "a quoted value is never closed")
    return FaultError(closed.end(), "a value has text after its closing quote")


def _too_large(row: Row) -> str:
    size = row.end - row.start
    return f"the row has {size:,} bytes; at most {MAX_ROW:,} are allowed"


def _line(content: Content, byte: int) -> int:
    """Return the number of the line that contains the byte at this position."""
    return 1 + sum(1 for _ in LINE_END.finditer(content, 0, byte))


@contextmanager
def _mapped(path: Path) -> Iterator[Content]:
    """Yield a file's content as a memory map, which does not read the whole file."""
    with path.open("rb") as file:
        if not path.stat().st_size:  # cannot be mapped
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
