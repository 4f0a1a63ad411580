"""Compares the plans of two environments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from lake_ci.checks.terraform.resources import PlannedResource


def differences(
    one: Iterable[PlannedResource], two: Iterable[PlannedResource], free: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the differences between two plans, except the allowed differences.

    `free` contains patterns for the attributes that may differ. Each difference
    consists of the address, the attribute, and both values.
    """
    first, second = (
        {environment_free(row.address): row for row in rows} for rows in (one, two)
    )
    for address in sorted(first.keys() | second.keys()):
        if address not in first or address not in second:
            words = (
                ("there", "not there") if address in first else ("not there", "there")
            )
            yield (first | second)[address].address, "the resource", *words
            continue
        pair = first[address], second[address]
        for name, left, right in _unequal_values(*pair):
            path = f"{pair[0].type}.{name}"
            if not any(fnmatchcase(path, pattern) for pattern in free):
                yield pair[0].address, name, left, right


def attributes(rows: Iterable[PlannedResource]) -> Iterator[str]:
    """Yield the name of each attribute of these resources as `type.path`.

    The result includes attributes whose value is known only after the apply.
    """
    for row in rows:
        for values in (row.values, row.unknown):
            yield from (f"{row.type}.{path}" for path, _ in _flat(values))


def _unequal_values(
    one: PlannedResource, two: PlannedResource
) -> Iterator[tuple[str, str, str]]:
    """Yield the attributes whose known values differ, with both values."""
    first, second = dict(_flat(one.values)), dict(_flat(two.values))
    for name in sorted(first.keys() | second.keys()):
        left, right = first.get(name, "not set"), second.get(name, "not set")
        if left != right and one.knows(name) and two.knows(name):
            yield name, left, right


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each scalar inside a value with the scalar's path, such as `rule.0.id`."""
    if isinstance(value, (Mapping, list)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _flat(each, f"{path}.{name}".removeprefix("."))
    else:
        yield path, environment_free(json.dumps(value))


def environment_free(text: str) -> str:
    """Replace environment names and account ids in a text by placeholders."""
    return re.sub(
        r"\b(?:staging|production)\b",
        "<environment>",
        re.sub(r"\b\d{12}\b", "<account>", text),
    )
