"""Why a result that was found does not count in a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from lake_ci.model.results import (
    OPTIONAL_SECONDS,
    TIME_FORMAT,
    Check,
    Result,
    is_seconds,
)


def objection(
    result: Result,
    planned: Collection[str],
    *,
    run: str,
    attempt: int,
    commit: str | None,
) -> str | None:
    """Why a result does not count in this run; None where it does.

    Args:
        planned: the ids of the sessions that were planned.
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
    """The fields that hold another type than declared: JSON of the right shape may
    still hold anything.
    """
    for name in ("run", "event", "job", "session", "started", "reproduce"):
        if not _is_text(getattr(result, name)):
            yield name
    for name in ("commit", "cause", "python", "java"):
        if not _is_text(getattr(result, name), or_none=True):
            yield name
    if type(result.attempt) is not int:
        yield "attempt"
    if not _is_time(result.started):
        yield "started"
    if not is_seconds(result.seconds):
        yield "seconds"
    for name in OPTIONAL_SECONDS:
        if getattr(result, name) is not None and not is_seconds(getattr(result, name)):
            yield name
    if not all(map(_is_text, (*result.artifacts, *result.warnings))):
        yield "artifacts or warnings"
    for check in result.checks:
        yield from _malformed_check(check)


def _malformed_check(check: Check) -> Iterator[str]:
    texts = (
        _is_text(check.name)
        and _is_text(check.detail)
        and _is_text(check.weaker, or_none=True)
    )
    if not (texts and is_seconds(check.seconds) and type(check.data) is dict):
        yield f"check {check.name!r}"
    for found in check.findings:
        texts = all(
            map(_is_text, (found.tool, found.rule, found.message, found.severity))
        )
        if not (
            texts
            and _is_text(found.file, or_none=True)
            and type(found.line) in (int, type(None))
        ):
            yield f"a finding of {check.name!r}"


def _is_text(value: object, *, or_none: bool = False) -> bool:
    return isinstance(value, str) or (or_none and value is None)


def _is_time(value: object) -> bool:
    try:
        datetime.strptime(str(value), TIME_FORMAT)
    except ValueError:
        return False
    return True
