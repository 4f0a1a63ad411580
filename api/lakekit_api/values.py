"""Conversion of values of declared types from request text, to text, and to JSON. A
source file may contain the same text.
"""

from __future__ import annotations

import base64
import datetime
import math
import re
from typing import Any, Callable, Mapping

import orjson

from lakekit.declarations.tables import Type
from lakekit.engines.duckdb.statements import MEANING
from lakekit.engines.patterns import PATTERNS

BITS: Mapping[Type, int] = {"int": 32, "bigint": 64}
LONGEST = 256
UTC = datetime.timezone.utc


def parse(kind: Type, text: str) -> Any:
    """Return the value of a text. An instant has no time zone and is in UTC, as in the
    store.

    Raises ValueError with the expected format.
    """
    if kind == "string":
        return text
    meaning = f"is not {MEANING[kind]}"
    if len(text) > LONGEST or not re.fullmatch(PATTERNS[kind], text):
        raise ValueError(meaning)
    try:
        return PARSERS[kind](text)
    except (ValueError, OverflowError):
        raise ValueError(meaning) from None


def _whole(bits: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        value = int(text)
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError
        return value

    return convert


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _instant(text: str) -> datetime.datetime:
    # Python 3.9 only parses fractions of three or six digits, and does not parse Z.
    match = re.fullmatch(r"(.{19})(?:\.(\d+))?(Z|[+-].+)", text)
    assert match is not None, "its pattern was checked"
    zone = "+00:00" if match[3] == "Z" else match[3]
    value = datetime.datetime.fromisoformat(f"{match[1]}.{(match[2] or '0'):0<6}{zone}")
    return value.astimezone(UTC).replace(tzinfo=None)


PARSERS: Mapping[Type, Callable[[str], Any]] = {
    "boolean": lambda text: text.lower() == "true",
    "int": _whole(BITS["int"]),
    "bigint": _whole(BITS["bigint"]),
    "double": _double,
    "date": datetime.date.fromisoformat,
    "timestamp": _instant,
}


def write(value: Any) -> Any:
    """Return a row's value in the format of a cursor. A double keeps every bit,
    including infinities and NaN.
    """
    if isinstance(value, datetime.datetime):
        return value.isoformat() + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else value


def restore(kind: Type, value: Any) -> Any:
    """Return the value that `write` converted. Raises ValueError for invalid input."""
    if value is None:
        return None
    if kind == "double":
        if not isinstance(value, str):
            raise ValueError("is not a double")
        return float(value)
    if kind in ("int", "bigint", "boolean"):
        if type(value) is not (bool if kind == "boolean" else int):
            raise ValueError(f"is not {MEANING[kind]}")
        return value if kind == "boolean" else parse(kind, str(value))
    if not isinstance(value, str):
        raise ValueError(f"is not a {kind}")
    return parse(kind, value)


def to_json(body: Any) -> bytes:
    """Return JSON with instants in UTC with Z, and null for doubles that JSON cannot
    represent.
    """
    return orjson.dumps(body, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def pack(body: Any) -> str:
    """Encode JSON as text that needs no quoting in a URL."""
    return base64.urlsafe_b64encode(to_json(body)).decode().rstrip("=")


def unpack(word: str) -> Any:
    """Decode the result of `pack`. Raises ValueError."""
    return orjson.loads(
        base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    )
