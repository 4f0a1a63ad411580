"""Checks whether a result belongs to a run and its fields have the declared types."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import TypeAlias

from lake_ci.model.results import (
    TIME_FORMAT,
    CheckResult,
    Finding,
    Result,
    is_seconds,
)

Rule: TypeAlias = Callable[[object], bool]
Fields: TypeAlias = tuple[tuple[str, Rule], ...]
TEXTS = ("run", "event", "job", "session", "started", "reproduce")
OPTIONAL_TEXTS = ("commit", "cause", "python", "java")


def rejection_reason(
    result: Result,
    planned: Collection[str],
    *,
    run: str,
    attempt: int,
    commit: str | None,
) -> str | None:
    """Return the reason why a run rejects a result; None if the result is valid.

    Args:
        planned: the ids of the planned sessions.
    """
    wrong = next(_malformed(result), None)
    if wrong is not None:
        return f"is malformed: {wrong}"
    if result.run != run:
        return f"is of run {result.run}, this is {run}"
    if result.commit != commit:
        return (
            f"is of commit {str(result.commit)[:12]}, this run is of {str(commit)[:12]}"
        )
    if result.attempt > attempt:
        return f"is of attempt {result.attempt}, this is {attempt}"
    if result.partial:
        return f"is partial: arguments selected a part of {result.session}"
    if result.job not in planned:
        return f"{result.session} was not planned in this run"
    return None


def _malformed(result: Result) -> Iterator[str]:
    """Yield the fields of a result whose value does not have the declared type.

    The check is necessary because valid JSON may contain values of any type.
    """
    yield from _invalid_fields(result, RESULT_FIELDS)
    if not all(map(_is_text, (*result.artifacts, *result.warnings))):
        yield "artifacts or warnings"
    for check in result.checks:
        if any(_invalid_fields(check, CHECK_FIELDS)):
            yield f"check {check.name!r}"
        for found in check.findings:
            if any(_invalid_fields(found, FINDING_FIELDS)):
                yield f"a finding of {check.name!r}"


def _invalid_fields(
    value: Result | CheckResult | Finding, fields: Fields
) -> Iterator[str]:
    """Yield the names of the fields whose value does not have the declared type."""
    return (name for name, fits in fields if not fits(getattr(value, name)))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_integer(value: object) -> bool:
    return type(value) is int


def _is_time(value: object) -> bool:
    try:
        datetime.strptime(str(value), TIME_FORMAT)
    except ValueError:
        return False
    return True


def _or_none(fits: Rule) -> Rule:
    return lambda value: value is None or fits(value)


# The types in the order in which values are checked.
RESULT_FIELDS: Fields = (
    *((name, _is_text) for name in TEXTS),
    *((name, _or_none(_is_text)) for name in OPTIONAL_TEXTS),
    ("attempt", _is_integer),
    ("started", _is_time),
    ("seconds", is_seconds),
    ("processor_seconds", _or_none(is_seconds)),
    ("waited_seconds", _or_none(is_seconds)),
)
CHECK_FIELDS: Fields = (
    ("name", _is_text),
    ("detail", _is_text),
    ("not_checked", _or_none(_is_text)),
    ("seconds", is_seconds),
    ("data", lambda value: type(value) is dict),
)
FINDING_FIELDS: Fields = (
    *((name, _is_text) for name in ("tool", "rule", "message", "severity")),
    ("file", _or_none(_is_text)),
    ("line", _or_none(_is_integer)),
)
