"""Formats values for terminals and JSON: control characters are escaped, and numbers
keep all digits.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import asdict, is_dataclass
from typing import Any, Sequence

import click


def visible(text: str, line_ends: bool = False) -> str:
    """Return text in which control and formatting characters are escaped.

    Control and formatting characters, for example `\\x1b` and `\\u202e`, could color,
    overwrite or reorder the text of a terminal.

    If `line_ends` is true, line feeds are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or (line_ends and each == "\n") else _escaped(each)
        for each in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def echo(text: str, err: bool = False) -> None:
    """Print a text of one or more lines, in which control characters are escaped."""
    click.echo(visible(text, line_ends=True), err=err)


def cell(value: object) -> str:
    """Return the text of a value for a table on the terminal.

    A null is printed as NULL, and a text that looks like a null is quoted. Numbers have
    all digits. A timestamp is printed in ISO 8601 with a final Z.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        quotes = value == "NULL" or value != value.strip() or value.startswith("'")
        return visible(f"'{value}'" if quotes else value)
    if isinstance(value, bool):
        return str(value).lower()
    return plain(value)


def plain(value: object) -> str:
    """Return a value as text: a timestamp in ISO 8601 with a final Z, and a missing
    value as an empty string.
    """
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "" if value is None else visible(str(value))


def print_json(result: Any, **more: Any) -> None:
    """Print a result dataclass as JSON. NaN and the infinities, which are not numbers
    in JSON, are printed as the texts NaN, Infinity and -Infinity.
    """
    content = _valid({**asdict(result), **more})
    text = json.dumps(content, default=_as_text, indent=2, allow_nan=False)
    click.echo(text.replace("\x7f", "\\u007f"))


def _as_text(value: object) -> str:
    """Return a timestamp, a date or a path as text for JSON."""
    is_instant = isinstance(value, datetime.datetime)
    return plain(value) if is_instant else str(value)


def _valid(value: Any) -> Any:
    """Replace NaN and infinities in a value by texts, because JSON does not have these
    numbers.
    """
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return "NaN"
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _valid(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _valid(asdict(value))
    return value


def table_of(
    header: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Align columns of text to the widest cell of each column. Columns in `right` are
    right-aligned.
    """
    rows = [[visible(text) for text in line] for line in (header, *lines)]
    widths = [max(len(line[place]) for line in rows) for place in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        placed = (
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(cells, widths))
        )
        return "  ".join(placed).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([row(rows[0]), rule, *map(row, rows[1:])])
