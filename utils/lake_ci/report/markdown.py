"""Writes the status report as GitHub Markdown.

Failures come first, then one line per job, then the list of skipped checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate

from lake_ci.model.results import CheckResult, Finding, Status, count
from lake_ci.report import efficiency, history
from lake_ci.report.overview import Overview, Session, State
from lake_ci.report.terminal import seconds
from lake_ci.report.text import link, one_line, shorten, visible

SHOWN = 10
MESSAGE_LINES = 6
MESSAGE_LIMIT = 600
# A `_` inside a word is not escaped, because GitHub reads a `_` as emphasis only
# outside of words.
SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
# Characters that start a list, a heading or a rule at the beginning of a text.
LEADING = re.compile(r"^([-+=#]|\d+(?=[.)]))")
# In an issue, GitHub notifies the account after `@`, and adds a cross-reference to the
# issue after `#` or `GH-`, even after a backslash. A word joiner after these characters
# prevents the notification and the cross-reference.
MENTION = re.compile(r"@(?=[^\W_])|#(?=\d)|\bGH-(?=\d)", re.IGNORECASE)
WORD_JOINER = "\u2060"
# GitHub also adds a cross-reference for the URL of an issue. So the URL's host is
# replaced by `redirect.github.com`. This host redirects to the issue, but GitHub adds
# no cross-reference for URLs of this host.
ISSUE_HOST = re.compile(
    r"\b(?:www\.)?github\.com(?=(?::\d+)?/+[\w.-]+/+[\w.-]+/+"
    r"(?:issues|pull|discussions)/+\d)",
    re.IGNORECASE,
)


def report(overview: Overview, *, source: str | None = None) -> str:
    """Return the whole report.

    Args:
        source: the base URL of links to the repository's files; if None, the report has
            no links.
    """
    parts = [
        _head(overview),
        _section("Failures", _failures(overview, source)),
        _section("Jobs", _jobs(overview)),
        _section("Duration", _duration(overview)),
        _section("Not checked", _not_checked(overview)),
        _section("Compared with the previous run", _comparison(overview)),
        _section("Coverage", _coverage(overview)),
        _section("Artifacts", _artifacts(overview)),
        _section("Ignored results", _refused(overview)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cut(text: str, limit: int, where: str) -> str:
    """Return the text, cut after a whole line if it is longer than the limit.

    The limit is in bytes of UTF-8. If the text is cut, a last line states the number of
    omitted lines.

    Args:
        where: the file with the whole text. The last line names this file.
    """
    if len(text.encode()) <= limit:
        return text
    lines = text.splitlines(keepends=True)
    room = limit - len(_left_out(len(lines), where).encode())
    fitting = sum(
        size <= room for size in accumulate(len(line.encode()) for line in lines)
    )
    return "".join(lines[:fitting]) + _left_out(len(lines) - fitting, where)


def plain(text: str) -> str:
    """Return a tool's text as one line that Markdown does not format.

    In addition, GitHub does not take any part of the line for a mention of an account
    or issue.
    """
    text = ISSUE_HOST.sub("redirect.github.com", one_line(text))
    text = MENTION.sub(rf"\g<0>{WORD_JOINER}", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = SPECIAL.sub(r"\\\g<0>", text)
    return LEADING.sub(
        lambda match: f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}", text
    )


def code(text: str) -> str:
    """Return text, which may contain backticks, as a code span.

    Do not use this function in tables, because a pipe ends a table cell even in a code
    span.
    """
    text = one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else ""


def _left_out(number: int, where: str) -> str:
    return f"\n… {count(number, 'line')} left out; the full report is in {where}\n"


def _section(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines).strip("\n")
    return f"### {title}\n\n{body}" if body else ""


def _head(overview: Overview) -> str:
    event = (
        f"{plain(overview.event)} on {plain(overview.branch)}"
        if overview.branch
        else plain(overview.event)
    )
    commit = f"commit {code(overview.commit[:12])}" if overview.commit else "no commit"
    facts = [event, commit + (" (with uncommitted changes)" if overview.dirty else "")]
    facts += [
        f"run {code(overview.run)}"
        + (f" attempt {overview.attempt}" if overview.attempt > 1 else "")
    ]
    facts += [seconds(overview.seconds)] if overview.seconds else []
    return (
        f"## {overview.state.symbol} {overview.state.word.capitalize()}:"
        f" {overview.tally}\n\n{', '.join(facts)}"
    )


def _failures(overview: Overview, source: str | None) -> Iterator[str]:
    for session in overview.failed:
        why = session.why or (
            session.result.cause or "" if session.result else ""
        ).replace("-", " ")
        yield (
            f"\n#### ❌ {plain(session.name)}"
            + (f": {plain(why)}" if why else "")
            + "\n"
        )
        for check in session.checks:
            if check.status is Status.FAILURE:
                yield f"- **{plain(check.name)}** {plain(check.detail)}".rstrip()
                yield from (
                    f"  - {_finding(found, source)}" for found in check.findings[:SHOWN]
                )
                rest = len(check.findings) - SHOWN
                if rest > 0:
                    yield (
                        f"  - and {count(rest, 'more finding')}, in reports/index.html"
                    )
        yield f"\nRerun: {code(session.reproduce)}"


def _finding(found: Finding, source: str | None) -> str:
    place = code(found.place)
    url = link(source, found.file, found.line) if source else None
    if url and place:
        place = f"[{place}](<{url}>)"
    text = shorten(visible(found.message).strip(), MESSAGE_LIMIT)
    lines = [plain(line) for line in text.splitlines() if line.strip()]
    if len(lines) > MESSAGE_LINES:
        lines = [*lines[:MESSAGE_LINES], "…"]
    return " ".join(filter(None, [place, plain(found.rule), "<br>".join(lines)]))


def _jobs(overview: Overview) -> Iterator[str]:
    yield "| | Job | Time | |\n|---|---|---:|---|"
    for node in overview.nodes:
        if node.skipped is not None:
            yield f"| ⏸️ not run | {plain(node.name)} | | {plain(node.skipped)} |"
        for session in node.sessions:
            time = seconds(session.seconds) if session.seconds else ""
            state = session.state
            words = plain(shorten(one_line(session.headline), 200))
            yield (
                f"| {state.symbol} {state.word} |"
                f" {plain(session.name)} | {time} | {words} |"
            )


def _duration(overview: Overview) -> Iterator[str]:
    yield from (f"- {plain(line)}" for line in efficiency.text(efficiency.of(overview)))


def _not_checked(overview: Overview) -> Iterator[str]:
    for session, check, not_checked in overview.not_checked():
        yield f"- {plain(session.name)}, {plain(check.name)}: {plain(not_checked)}"
    for session in overview.sessions:
        yield from (
            f"- {plain(session.name)}, {plain(row.name)}: {plain(row.detail)}"
            for row in _left(session)
        )
        if session.result is not None:
            yield from (
                f"- {plain(session.name)}: {plain(note)}"
                for note in session.result.warnings
            )
        if session.note:
            yield f"- {plain(session.name)}: {plain(session.note)}"
    yield from (f"- {plain(note)}" for note in overview.notes)


def _left(session: Session) -> list[CheckResult]:
    """Return a session's skipped checks, or none if the whole session was skipped."""
    if session.state is State.SKIPPED:
        return []
    return [
        check
        for check in session.checks
        if check.status is Status.SKIPPED and check.not_checked is None
    ]


def _comparison(overview: Overview) -> Iterator[str]:
    past = overview.previous
    if past is None:
        return
    commit = f", commit {code(past.commit[:12])}" if past.commit else ""
    yield (
        f"Run {code(past.run)} of {plain(past.made)}{commit}: {past.state.symbol}"
        f" {past.state.word}\n"
    )
    changes = history.compare(overview)
    yield from (
        f"- {change.kind}: {plain(change.name)}: {plain(change.text)}"
        for change in changes
    )
    if not changes:
        yield "Nothing differs."


def _coverage(overview: Overview) -> Iterator[str]:
    for session, percent, files in coverage(overview):
        lowest = sorted(files.items(), key=lambda item: item[1])[:3]
        words = ", ".join(f"{plain(name)} {share:.0f} %" for name, share in lowest)
        yield f"- {plain(session.name)}: {percent:.1f} %" + (
            f"; lowest: {words}" if words else ""
        )


def coverage(overview: Overview) -> Iterator[tuple[Session, float, dict[str, float]]]:
    """Yield each session with its coverage in percent, in total and for each file."""
    for session in overview.sessions:
        for check in session.checks:
            percent, files = check.data.get("percent"), check.data.get("files")
            if isinstance(percent, (int, float)) and isinstance(files, dict):
                shares = {
                    name: float(share)
                    for name, share in files.items()
                    if isinstance(share, (int, float))
                }
                yield session, float(percent), shares


def _artifacts(overview: Overview) -> Iterator[str]:
    for session in overview.sessions:
        if session.result is not None and session.result.artifacts:
            yield (
                f"- {plain(session.name)}:"
                f" {', '.join(code(name) for name in session.result.artifacts)}"
            )


def _refused(overview: Overview) -> Iterator[str]:
    yield from (
        f"- {code(refused.file)}: {plain(refused.reason)}"
        for refused in overview.refused
    )
