"""Converts text from requests to values of the declared types, and values to JSON.
Values in requests have the same format as in source files.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any, Callable, Mapping

import orjson

from lakekit.declarations.tables import Type
from lakekit.engines.duckdb.statements import MEANING
from lakekit.engines.patterns import PATTERNS
from lakekit_api import far

BITS: Mapping[Type, int] = {"int": 32, "bigint": 64}
LONGEST = 256


def parse(kind: Type, text: str) -> Any:
    """Convert a text to a value. An instant becomes a datetime in UTC without a time
    zone, as in the loaded tables. A date or an instant that Python's types cannot store
    becomes text for DuckDB.

    Raises ValueError if the text is not valid. The error names the expected format.
    """
    if kind == "string":
        return text
    meaning = f"is not {MEANING[kind]}"
    if len(text) > LONGEST or not (
        re.fullmatch(PATTERNS[kind], text)
        or (kind in far.PATTERN and re.fullmatch(far.PATTERN[kind], text))
    ):
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


PARSERS: Mapping[Type, Callable[[str], Any]] = {
    "boolean": lambda text: text.lower() == "true",
    "int": _whole(BITS["int"]),
    "bigint": _whole(BITS["bigint"]),
    "double": _double,
    "date": partial(far.parse, "date"),
    "timestamp": partial(far.parse, "timestamp"),
}


def to_json(body: Any) -> bytes:
    """Return JSON. Instants are in UTC with Z. NaN and infinities become null, because
    they are not numbers in JSON.
    """
    return orjson.dumps(body, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
