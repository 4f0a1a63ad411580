"""Converts dates and instants that Python's datetime types cannot store, because their
years are not in the range from 1 to 9999.

A table that lakekit did not write may contain such dates and instants. If the year of
an instant is from 1 to 9999 in at least one time zone, the JSON is the time in one such
zone (RFC 3339). An example is 9999-12-31T23:59:59-05:00. For all other values, the JSON
has a sign and a year of at least six digits (ISO 8601), for example +010000-01-01.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Mapping, Tuple

from lakekit.declarations.tables import Type

UTC = datetime.timezone.utc
PATTERN: Mapping[Type, str] = {
    "date": "[+-][0-9]{6,7}-[0-9]{2}-[0-9]{2}",
    "timestamp": (
        "[+-][0-9]{6}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,6})?Z"
    ),
}
"""Patterns of the JSON text of dates and instants outside the years 1 to 9999."""
YEARS: Mapping[Type, Tuple[int, int]] = {
    "date": (-5877640, 5881579),
    "timestamp": (-290307, 294246),
}
"""The first and the last year of which DuckDB can store every day, by column type."""
INFINITE: Mapping[Tuple[Type, str], str] = {
    ("date", "infinity"): "+5881580-07-11",
    ("date", "-infinity"): "-5877641-06-24",
    ("timestamp", "infinity"): "+294247-01-10T04:00:54.775807Z",
    ("timestamp", "-infinity"): "-290308-12-21T19:59:05.224193Z",
}
"""The JSON of the largest and the smallest date or instant that a Parquet file can
store. DuckDB reads these values as infinity and -infinity.
"""
STORED = re.compile(r"(\d+)-(\d\d)-(\d\d)( \(BC\))?(?: (\d\d:\d\d:\d\d(?:\.\d+)?))?")
CYCLE, RECENT = 400, 2000
"""The calendar repeats after 400 years, so every year has the calendar of a year from
2000 to 2399.
"""


def to_json(kind: Type, stored: str) -> Any:
    """Convert DuckDB's text of a date or an instant to a JSON value.

    The result is a date or a datetime if Python's types can store the value; otherwise
    it is text.
    """
    if (kind, stored) in INFINITE:
        return INFINITE[kind, stored]
    match = STORED.fullmatch(stored)
    assert match is not None, f"DuckDB's text of a {kind}: {stored}"
    year = 1 - int(match[1]) if match[4] else int(match[1])
    day = f"{match[2]}-{match[3]}"
    near = datetime.MINYEAR <= year <= datetime.MAXYEAR
    if kind == "date":
        return (
            datetime.date.fromisoformat(f"{year:04}-{day}")
            if near
            else f"{_signed(year)}-{day}"
        )
    time = match[5]
    if near:
        # Python 3.9 parses a fraction of a second only if it has three or six digits.
        whole, _, fraction = time.partition(".")
        return datetime.datetime.fromisoformat(
            f"{year:04}-{day}T{whole}.{fraction:0<6}"
        )
    hour, rest = int(time[:2]), time[2:]
    if (year, day) == (datetime.MAXYEAR + 1, "01-01") and hour < 23:
        return f"9999-12-31T23{rest}-{hour + 1:02}:00"
    if (year, day) == (datetime.MINYEAR - 1, "12-31") and hour > 0:
        return f"0001-01-01T00{rest}+{24 - hour:02}:00"
    return f"{_signed(year)}-{day}T{time}Z"


def parse(kind: Type, text: str) -> Any:
    """Parse a date or an instant of any year.

    If Python's types can store the value, returns a date, or a datetime in UTC without
    a zone. If Python's types cannot store the value, returns text that DuckDB can cast.
    `text` must match PATTERN or the pattern for source files. Raises ValueError if the
    date does not exist, or if DuckDB cannot store it.
    """
    if kind == "date" and len(text) == 10 and text[:4] != "0000":
        return datetime.date.fromisoformat(text)
    match = re.fullmatch(r"([+-]?\d+)(-\d\d-\d\d)(.*)", text)
    if match is None:
        raise ValueError
    year = int(match[1])
    recent = RECENT + year % CYCLE
    value: Any = _recent(kind, f"{recent}{match[2]}", match[3])
    year += value.year - recent
    if datetime.MINYEAR <= year <= datetime.MAXYEAR:
        return value.replace(year=year)
    first, last = YEARS[kind]
    if not first <= year <= last:
        raise ValueError
    era, shown = ("", year) if year > 0 else (" (BC)", 1 - year)
    time = "" if kind == "date" else f"{value:%H:%M:%S.%f}"
    return f"{shown:04}-{value:%m-%d}{era} {time}".strip()


def _recent(kind: Type, day: str, rest: str) -> Any:
    if kind == "date":
        return datetime.date.fromisoformat(day)
    match = re.fullmatch(r".(.{8})(?:\.(\d+))?(Z|[+-].+)", rest)
    if match is None:
        raise ValueError
    zone = "+00:00" if match[3] == "Z" else match[3]
    value = datetime.datetime.fromisoformat(
        f"{day}T{match[1]}.{(match[2] or '0'):0<6}{zone}"
    )
    return value.astimezone(UTC).replace(tzinfo=None)


def _signed(year: int) -> str:
    return f"{'-' if year < 0 else '+'}{abs(year):06}"
