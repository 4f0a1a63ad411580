"""Generates source files, reads them with lakekit and with Python, and compares the
rows.

    PYTHONPATH=utils:. python -m testing.unit.lakekit.sources.generated 1000
    PYTHONPATH=utils:. python -m testing.unit.lakekit.sources.generated 100 spark

Every row must be in bronze, with the texts that Python reads from the file. The row
must also be in silver with the values to which Python converts the texts, or in
quarantine if Python cannot convert them. lakekit may refuse a file only if the file was
damaged or Python cannot read it. The error must name the refused file.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import random
import re
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

import lakekit
from lakekit.declarations.tables import (
    ORIGIN,
    Column,
    Source,
    Table,
    TableSet,
    Type,
    bronze,
)

Row = Dict[str, str]
UTC = datetime.timezone.utc
TYPES: Mapping[str, Type] = {
    "id": "bigint",
    "word": "string",
    "number": "double",
    "day": "date",
    "seen": "timestamp",
    "flag": "boolean",
}
COLUMNS = tuple(Column(name, kind) for name, kind in TYPES.items())
SOURCE = Source("t", COLUMNS, misfits=1.0)
SILVER = Table(
    "silver.t",
    (*COLUMNS, *ORIGIN),
    reads=("bronze.t",),
    sql="t.sql",
    key=("_source_sha256", "_source_row"),
    update="merge",
)
BATCH = 50
"""The maximum number of generated files in one run of lakekit."""

WORDS = [
    "",
    "NA",
    "null",
    "é",
    "日本",
    "😀",
    "a,b",
    'q"q',
    '"',
    '""',
    " x ",
    "\t",
    "'",
    "\\",
]
WORDS += [
    "x\ny",
    "x\r\ny",
    "x\ry",
    "\n",
    "\u2028",
    "\ufeff",
    "\x0b",
    "#",
    "\x1a",
    "%s",
    "{}",
]
CSV_VALUES: Mapping[str, Sequence[str]] = {
    "word": WORDS,
    "number": (
        "1 1.5 -0.0 1e308 1e400 5e-324 .5 5. 1E+5 nan inf 1_0 0x1p3 1d NA -".split(" ")
    ),
    "day": (
        "2013-02-28 2012-02-29 0001-01-01 9999-12-31 2013-02-29 0000-01-01 10000-01-01"
        " 2013-1-1 20130101 NA 2013-01-01Z"
    ).split(" "),
    "seen": (
        "2013-01-01T00:00:00Z|2013-01-01 23:59:59.123456+05:30|0001-01-01T00:00:00Z"
        "|9999-12-31T23:59:59.999999Z|9999-12-31T23:59:59-00:01"
        "|0001-01-01T00:00:00+00:01"
        "|2013-01-01T00:00:00+18:00|2013-01-01T00:00:00-18:01|2013-01-01T00:00:00+19:00"
        "|2013-01-01T00:00:00|2013-01-01T24:00:00Z|2013-01-01T00:00:60Z|NA|2013-01-01"
        "|2013-01-01T00:00:00.1234567Z|2013-02-29T00:00:00Z|2013-01-01T00:00:00+05:60"
    ).split("|"),
    "flag": ["true", "FALSE", "True", "t", "1", "yes", "", "NA"],
}
NAMES = ["more", "Größe", "select", 'a"b', "x.y", "a-b", "日本", "ID2"]
BAD_NAMES = ["", "a b", "a,b", "x\ny", "_rule", "_source_x", "ID", "a=b", "word"]


@dataclass(frozen=True)
class Generated:
    """A source file. `name` is the name of the file in the source folder, and `rows`
    are the rows that Python reads.

    If `rows` is None, lakekit must refuse the file. If `damaged` is true, lakekit may
    refuse the file.
    """

    name: str
    content: bytes
    rows: Optional[List[Row]]
    damaged: bool


def generated_csv(rng: random.Random, number: int) -> Generated:
    """Return a CSV file with a random dialect, encoding, header and compression."""
    header = [*TYPES, *rng.sample(NAMES, rng.choice([0, 0, 1, 3]))]
    if rng.random() < 0.06:
        header.append(rng.choice(BAD_NAMES))
    rng.shuffle(header)
    lines = [header]
    for index in range(rng.choice([1, 2, 5, 40])):
        row = {name: rng.choice(WORDS) for name in header}
        first = 3 if rng.random() < 0.6 else None  # only good values
        values = {name: each[:first] for name, each in CSV_VALUES.items()}
        row.update({name: rng.choice(each) for name, each in values.items()})
        ids = [str(number * 100 + index), "+7", "-1", "1.0", "9" * 19]
        row["id"] = rng.choice(ids[:first])
        if rng.random() < 0.02:
            row["word"] = "long " * rng.choice([1_000, 60_000])
        lines.append([row[name] for name in header])
    quote, end = rng.choice(["all", "some", "needed"]), rng.choice(["\n", "\r\n", "\r"])
    rendered = [",".join(_quoted(rng, quote, text) for text in line) for line in lines]
    last = rng.choice([end, ""])
    text = end.join(rendered) + last
    damage = rng.choice(DAMAGE) if rng.random() < 0.4 else None
    text = text if damage is None else damage(rng, text, end)
    encoding = rng.choice(["utf-8"] * 8 + ["utf-8-sig"] * 2)
    content = text.encode(encoding)
    if rng.random() < 0.05:
        damage, content = _cut, text.encode(rng.choice(["utf-16", "cp1252"]), "replace")
    suffix = rng.choice([".csv", ".csv", ".csv.gz", ".csv.zip"])
    name = f"f{number}{suffix}"
    return Generated(
        name, _packed(name, content), _read_by_python(content), damage is not None
    )


def _quoted(rng: random.Random, quote: str, text: str) -> str:
    needed = any(sign in text for sign in ',"\r\n')
    if needed or quote == "all" or (quote == "some" and rng.random() < 0.5):
        return '"' + text.replace('"', '""') + '"'
    return text


def _packed(name: str, content: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    if name.endswith(".zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name[: -len(".zip")], content)
        return packed.getvalue()
    return content


def _insert(*signs: str) -> Callable[[random.Random, str, str], str]:
    def damage(rng: random.Random, text: str, end: str) -> str:
        place = rng.randrange(len(text))
        return text[:place] + rng.choice(signs) + text[place:]

    return damage


def _cut(rng: random.Random, text: str, end: str) -> str:
    return text[: rng.randrange(len(text))]


def _other_end(rng: random.Random, text: str, end: str) -> str:
    lines = text.split(end)
    place = rng.randrange(len(lines))
    other = rng.choice(["\n", "\r\n", "\r", "\r\r\n", "\n\n", end + end])
    return end.join(lines[:place]) + other + end.join(lines[place:])


DAMAGE: Sequence[Callable[[random.Random, str, str], str]] = (
    _insert('"', '""', ' "', '" '),
    _insert(",", ",,"),
    _insert("\n", "\r", "\r\n", "\n\n"),
    _cut,
    _other_end,
    lambda rng, text, end: end + text,
    lambda rng, text, end: text + end + end + rng.choice(["", ",", " ", '"', "\r"]),
    lambda rng, text, end: text.replace(",", ";"),
    lambda rng, text, end: text.replace('"', "'"),
)


def _read_by_python(content: bytes) -> Optional[List[Row]]:
    """Return the rows that Python's csv module reads. Returns None if Python cannot
    read the file, or if a Delta table cannot store the rows.
    """
    csv.field_size_limit(10**7)
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, strict=True) if line]
    except (UnicodeDecodeError, csv.Error):
        return None
    header = lines[0] if lines else []
    lower = {name.lower() for name in header}
    stored = all(
        re.fullmatch(r"(?!_source_|_rule$)[^ ,;{}()=\x00-\x1f\x7f]+", name)
        for name in header
    )
    if not stored or len(lower) < len(header) or not set(TYPES) <= set(header):
        return None
    if len(lines) < 2 or any(len(line) != len(header) for line in lines):
        return None
    return [dict(zip(map(str.lower, header), line)) for line in lines[1:]]


FIRST = datetime.datetime(1, 1, 1)
LAST = datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)
INSTANTS = [FIRST, LAST, datetime.datetime(1969, 12, 31, 23, 59, 59, 500)]
DAYS = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1969, 7, 1)]
PARQUET_VALUES: Mapping[str, Sequence[Tuple[pa.DataType, Sequence[Any]]]] = {
    "id": [
        (pa.int64(), [2**63 - 1, -(2**63)]),
        (pa.uint64(), [0, 2**64 - 1]),
        (pa.int8(), [-128, 127]),
        (pa.string(), ["7", "x"]),
    ],
    "word": [
        (pa.string(), WORDS),
        (pa.large_string(), WORDS),
        (pa.dictionary(pa.int32(), pa.string()), WORDS),
        (pa.null(), [None]),
        (pa.binary(), [b"x"]),
        (pa.time64("us"), [datetime.time(1)]),
        (pa.duration("us"), [datetime.timedelta(1)]),
        (pa.list_(pa.int64()), [[1]]),
        (pa.float16(), [1.5]),
        (pa.decimal256(60, 2), [Decimal("1.50")]),
    ],
    "number": [
        (pa.float64(), [0.1, 1e16, 5e-324, 1.7976931348623157e308, -0.0, 1e-5]),
        (pa.float64(), [float("nan"), float("inf")]),
        (pa.float32(), [1.5, -0.25, 16777216.0]),
        (pa.int32(), [2**31 - 1, -7]),
        (pa.decimal128(38, 10), [Decimal("1.5"), Decimal("0E-10")]),
    ],
    "day": [(pa.date32(), DAYS), (pa.date64(), DAYS), (pa.string(), ["2013-01-01"])],
    "seen": [
        (pa.timestamp("us", "UTC"), INSTANTS),
        (pa.timestamp("us", "America/New_York"), INSTANTS[2:]),
        (pa.timestamp("ms", "UTC"), [datetime.datetime(2013, 1, 1)]),
        (pa.timestamp("ns", "UTC"), INSTANTS[2:]),
        (pa.timestamp("us"), INSTANTS),
        (pa.timestamp("ns"), INSTANTS[2:]),
    ],
    "flag": [(pa.bool_(), [True, False]), (pa.string(), ["TRUE", "no"])],
}
REFUSED = ("binary", "time64[us]", "duration[us]", "halffloat", "decimal256(60, 2)")


def generated_parquet(rng: random.Random, number: int) -> Generated:
    """Return a Parquet file with columns of random types."""
    size, columns, texts, refused = rng.choice([1, 3, 20]), {}, {}, False
    for name, kinds in PARQUET_VALUES.items():
        kind, values = rng.choice(kinds)
        chosen = [rng.choice([*values, None]) for _ in range(size)]
        if name == "word" and pa.types.is_string(kind):
            chosen[0] = f"file {number}"
        columns[name] = pa.array(chosen, kind)
        zoned = getattr(kind, "tz", None) is not None
        texts[name] = [_text(value, zoned) for value in chosen]
        refused = refused or str(kind) in REFUSED or pa.types.is_list(kind)
    packed = io.BytesIO()
    table = pa.table({**columns, "number_of_file": [number] * size})
    pq.write_table(table, packed, compression=rng.choice(["snappy", "zstd", "none"]))
    texts["number_of_file"] = [str(number)] * size
    rows = [{name: texts[name][index] for name in texts} for index in range(size)]
    return Generated(
        f"f{number}.parquet", packed.getvalue(), None if refused else rows, False
    )


def _text(value: Any, zoned: bool) -> str:
    if value is None:
        return "NA"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        return (text.rstrip("0") if "." in text else text) + "Z" * zoned
    if isinstance(value, Decimal):
        return f"{value:.10f}"
    return value if isinstance(value, str) else str(value)


def _convert(name: str, text: str) -> Any:
    """With Python, convert a text to the value of a column. Raises ValueError if the
    text is not valid.
    """
    kind = TYPES[name]
    if text == "NA":
        return None
    if kind == "bigint" and re.fullmatch("[+-]?[0-9]+", text):
        if -(2**63) <= int(text) < 2**63:
            return int(text)
    elif kind == "double" and re.fullmatch(r"[-+.0-9eE]+", text):
        return float(text)
    elif kind == "date" and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return datetime.date(*map(int, text.split("-")))
    elif kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    elif kind == "string":
        return text
    elif kind == "timestamp":
        return _instant(text)
    raise ValueError(text)


def _instant(text: str) -> datetime.datetime:
    """Convert a text to an instant. Raises ValueError if the text is not valid, or if
    its offset from UTC is more than 18:00, which Python would accept.
    """
    found = re.fullmatch(
        r"(....-..-..)[T ](..:..:..)(\.[0-9]{1,6})?(Z|([+-])(..):(..))", text
    )
    if found is None:
        raise ValueError(text)
    fraction = (found.group(3) or ".").ljust(7, "0")
    local = datetime.datetime.fromisoformat(f"{found[1]}T{found[2]}{fraction}")
    hours, minutes = int(found[6] or 0), int(found[7] or 0)
    if minutes > 59 or 60 * hours + minutes > 18 * 60:
        raise ValueError(text)
    offset = datetime.timedelta(hours=hours, minutes=minutes)
    try:
        utc = local - offset if found[5] != "-" else local + offset
    except OverflowError as error:
        raise ValueError(text) from error
    return utc.replace(tzinfo=UTC)


def check(
    seed: int, count: int, folder: Path, engine: str = "embedded"
) -> Counter[str]:
    """Read `count` generated files with lakekit, and compare every row with the row
    that Python reads. Returns how many files and rows had each outcome. Raises
    AssertionError if a row is wrong.
    """
    rng, outcome = random.Random(seed), Counter[str]()
    names = ", ".join(
        f"cast(nullif({c.name}, 'NA') as {c.type}) as {c.name}" for c in COLUMNS
    )
    origin = ", ".join(column.name for column in ORIGIN)
    folder.mkdir(exist_ok=True)
    (folder / "t.sql").write_text(f"select {names}, {origin} from bronze.t")
    tables = TableSet((bronze(SOURCE), SILVER), folder)
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        files = [
            (generated_parquet if rng.random() < 0.3 else generated_csv)(rng, number)
            for number in numbers
        ]
        source, lake = folder / f"source-{first}", folder / f"lake-{first}"
        (source / "t").mkdir(parents=True)
        for file in files:
            (source / "t" / file.name).write_bytes(file.content)
        result = lakekit.run(source, lake, engine=engine, tables=tables, refused="skip")
        reports = result["bronze.t"].refused
        outcome += _compare(files, reports, lake, f"seed {seed}")
    return outcome


def _compare(
    files: Sequence[Generated], reports: Sequence[str], lake: Path, where: str
) -> Counter[str]:
    outcome = Counter[str]()
    stored = {
        layer: _stored(lake, layer) for layer in ("bronze", "silver", "quarantine")
    }
    for file in files:
        refused = [text for text in reports if f"/{file.name}" in text]
        here = f"{where}, {file.name}: {refused}"
        name = f"t/{file.name.split('.')[0]}"
        name += ".parquet" if file.name.endswith(".parquet") else ".csv"
        rows = {layer: stored[layer].get(name, {}) for layer in stored}
        if refused:
            assert len(refused) == 1 and not any(rows.values()), here
            assert file.damaged or file.rows is None, here
            outcome["refused files"] += 1
            continue
        assert file.rows is not None, here
        assert len(rows["bronze"]) == len(file.rows), here
        outcome["files"] += 1
        for number, row in enumerate(file.rows, start=1):
            assert {n: rows["bronze"][number][n] for n in row} == row, (here, number)
            layer, expected = _converted(row)
            other = "silver" if layer == "quarantine" else "quarantine"
            assert number not in rows[other], (here, row)
            found = rows[layer][number]
            stored_row = {name: found[name] for name in TYPES}
            assert repr(stored_row) == repr(expected), (here, row)
            outcome[layer] += 1
    return outcome


def _converted(row: Row) -> Tuple[str, Dict[str, Any]]:
    """Return the layer in which a row must be, and its values in that layer."""
    try:
        return "silver", {name: _convert(name, row[name]) for name in TYPES}
    except ValueError:
        return "quarantine", {name: row[name] for name in TYPES}


def _stored(lake: Path, layer: str) -> Dict[str, Dict[int, Dict[str, Any]]]:
    """Return the rows of a table by source file and row number."""
    rows: Dict[str, Dict[int, Dict[str, Any]]] = {}
    for row in DeltaTable(str(lake / layer / "t")).to_pyarrow_table().to_pylist():
        if isinstance(row["seen"], datetime.datetime):
            row["seen"] = row["seen"].replace(tzinfo=UTC)  # another class of UTC
        rows.setdefault(row["_source_file"], {})[row["_source_row"]] = row
    return rows


if __name__ == "__main__":
    files, engine_name = int(sys.argv[1]), (sys.argv[2:] or ["embedded"])[0]
    start = random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory() as scratch:
        found = check(start, files, Path(scratch), engine_name)
    print(f"seed {start}: {dict(found)}")
