"""Writes the simple YAML of workflow files.

This module supports mappings, lists, strings, numbers and booleans. The noxfile depends
only on nox, and nox does not include a YAML library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Union

Value = Union[str, int, bool, None, Mapping[str, "Value"], Sequence["Value"]]
# Strings that need no quotes, because no character has a special meaning in YAML.
PLAIN = re.compile(r"[A-Za-z./$(][\w./@$ (){}\[\]!=|&,>'\"-]*(?<! )")
KEY = re.compile(r"[A-Za-z][\w-]*")
# Words that a YAML 1.1 parser does not read as strings.
WORDS = {"y", "yes", "n", "no", "true", "false", "on", "off", "null", "~"}


class Commented(str):
    """A string with a comment after it."""

    comment: str

    def __new__(cls, text: str, comment: str) -> Commented:
        new = super().__new__(cls, text)
        new.comment = comment
        return new


def dump(value: Mapping[str, Value]) -> str:
    """Return a mapping as a YAML document, and keep the order of the keys."""
    return "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: Mapping[str, Value], indent: str) -> Iterator[str]:
    for key, item in value.items():
        # A key may be a word that YAML 1.1 reads as a Boolean value, such as GitHub's
        # own `on`.
        yield from _entry(
            f"{indent}{key if KEY.fullmatch(key) else _scalar(key)}:", item, indent
        )


def _entry(head: str, item: Value, indent: str) -> Iterator[str]:
    if isinstance(item, str) and "\n" in item:
        yield f"{head} |"
        yield from (
            f"{indent}  {line}" if line else ""
            for line in item.rstrip("\n").split("\n")
        )
    elif isinstance(item, Mapping):
        if item:
            yield head
            yield from _mapping(item, indent + "  ")
        else:
            yield f"{head} {{}}"
    elif isinstance(item, Sequence) and not isinstance(item, str):
        yield from _sequence(head, item, indent)
    elif item is None:
        yield head
    else:
        yield f"{head} {_scalar(item)}"


def _sequence(head: str, items: Sequence[Value], indent: str) -> Iterator[str]:
    """Yield a list: scalars on one line, mappings one after another."""
    if all(isinstance(part, (str, int)) for part in items):
        yield f"{head} [{', '.join(_scalar(part, flow=True) for part in items)}]"
        return
    yield head
    for part in items:
        yield from _item(part, indent + "  ")


def _item(part: Value, indent: str) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield f"{indent}- {_scalar(part)}"
        return
    lines = list(_mapping(part, indent + "  "))
    yield f"{indent}- {lines[0].lstrip()}"
    yield from lines[1:]


def _scalar(value: Value, *, flow: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = (
        PLAIN.fullmatch(text)
        and text.lower() not in WORDS
        and not (flow and re.search(r"[\[\]{},]", text))
    )
    written = text if plain else json.dumps(text, ensure_ascii=False)
    return f"{written} # {value.comment}" if isinstance(value, Commented) else written
