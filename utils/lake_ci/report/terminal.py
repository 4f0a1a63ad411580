"""Formats the terminal's output: a row for each check, and the table of a run."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping

from lake_ci.model.results import CheckResult, Finding, Result, Status, count
from lake_ci.report.text import visible

WIDTH = 80
SHOWN = 10
# The beginning of a workflow command in GitHub's log.
COMMAND = re.compile(r"^([^\S\n]*)::|##(?=\[)", re.MULTILINE)


def plain(text: str) -> str:
    """Return text that is safe to print in a terminal and in GitHub's log.

    In the returned text, no character hides or reorders other characters, and no line
    is a workflow command.
    """
    return COMMAND.sub(
        lambda match: "⟨##⟩" if match[1] is None else f"{match[1]}⟨::⟩", visible(text)
    )


def row(check: CheckResult, *, shown: int = SHOWN, symbols: bool | None = None) -> str:
    """Return a check's row, its first findings, and the number of further findings."""
    words = (
        f"{mark(check.status, symbols)} {check.name:<22} {seconds(check.seconds):>8}"
    )
    lines = [_cut(f"{words}  {check.detail}".rstrip())]
    if check.not_checked and check.not_checked not in check.detail:
        lines += _wrap(f"not checked: {check.not_checked}")
    for found in check.findings[:shown]:
        lines += _finding(found)
    if len(check.findings) > shown:
        more = count(len(check.findings) - shown, "more finding")
        lines.append(f"     and {more}, in result.json")
    return plain("\n".join(lines))


def table(
    results: Iterable[Result],
    skipped: Mapping[str, str],
    *,
    symbols: bool | None = None,
) -> str:
    """Return the table of the whole run: each job with its checks.

    For a failed job, the table also has the findings with file and line, and the rerun
    command.

    Args:
        results: the result of each planned session.
        skipped: for each job that was not planned, the reason.
    """
    blocks = []
    tally = dict.fromkeys(Status, 0)
    for result in results:
        tally[result.status] += 1
        blocks.append(job(result, symbols=symbols))
    for name, reason in skipped.items():
        tally[Status.SKIPPED] += 1
        blocks.append(
            _cut(f"{mark(Status.SKIPPED, symbols)} {name:<22} {'':>8}  {reason}")
        )
    words = {
        Status.SUCCESS: "passed",
        Status.FAILURE: "failed",
        Status.WARNING: "with warnings",
        Status.SKIPPED: "skipped",
    }
    total = ", ".join(
        f"{mark(status, symbols)} {tally[status]} {words[status]}"
        for status in words
        if tally[status]
    )
    return plain("\n".join([*blocks, "", total]))


def job(result: Result, *, symbols: bool | None = None) -> str:
    """Return a job's line and its checks; if it failed, also the rerun command."""
    lines = [
        f"{mark(result.status, symbols)} {result.session:<22}"
        f" {seconds(result.seconds):>8}{_cause(result)}"
    ]
    lines += [
        textwrap.indent(row(check, symbols=symbols), "   ") for check in result.checks
    ]
    lines += [f"   note: {warning}" for warning in result.warnings]
    if result.status is Status.FAILURE:
        lines.append(f"   rerun: {result.reproduce}")
    return plain("\n".join(lines))


def mark(status: Status, symbols: bool | None = None) -> str:
    """Return the status as a symbol, or as a word if the terminal cannot encode it."""
    if symbols is None:
        symbols = can_print(Status.SUCCESS.symbol)
    return status.symbol if symbols else status.word


def can_print(text: str) -> bool:
    """Return whether standard output can encode this text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def seconds(number: float) -> str:
    """Return a duration as text: `0.3 s`, `81.2 s` or `3 min 20 s`."""
    if number < 100:
        return f"{number:.1f} s"
    return f"{int(number // 60)} min {int(number % 60):02d} s"


def _cause(result: Result) -> str:
    words = result.cause.replace("-", " ") if result.cause else result.as_of
    return f"  {words}" if words else ""


def _finding(found: Finding) -> list[str]:
    headline, *more = found.message.splitlines() or [""]
    place = f"{found.place}  " if found.place else ""
    # Never break a path, because users click on paths.
    lines = _wrap(f"{place}{found.rule}  {headline}", further="       ")
    return lines + [line for text in more for line in _wrap(text, "       ", "       ")]


def _wrap(text: str, indent: str = "     ", further: str = "     ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 3,
        initial_indent=indent,
        subsequent_indent=further,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _cut(line: str) -> str:
    width = WIDTH - 3
    return (
        line
        if len(line) <= width or os.environ.get("GITHUB_ACTIONS")
        else line[: width - 1] + "…"
    )
