"""Writes the results to GitHub's log, with commands that annotate the diff's lines."""

from __future__ import annotations

from collections.abc import Iterator

from lake_ci.model.results import Finding, Status, count
from lake_ci.report import terminal
from lake_ci.report.overview import Overview, State
from lake_ci.report.text import shorten

# The maximum number of commands of each kind that GitHub shows per step.
CAP = 10
MESSAGE_LIMIT = 4000


def commands(overview: Overview) -> list[str]:
    """Return an `::error` or `::warning` for each finding of a check that did not pass.

    At most `CAP` commands of each kind are returned, because GitHub shows no more. A
    notice states the number of omitted commands.
    """
    errors = list(_session_errors(overview))
    warnings = []
    for session, check, finding in overview.findings():
        title = f"{session.name}, {check.name}: {finding.rule}"
        if check.status is Status.FAILURE and finding.severity == "error":
            errors.append(_annotation("error", finding, title))
        elif check.status in (Status.FAILURE, Status.WARNING):
            warnings.append(_annotation("warning", finding, title))
    warnings += [
        command(
            "warning",
            f"not checked: {not_checked}",
            title=f"{session.name}, {check.name}",
        )
        for session, check, not_checked in overview.not_checked()
        if not check.findings
    ]
    return [
        *errors[:CAP],
        *warnings[:CAP],
        *_over_cap_notice(len(errors), len(warnings)),
    ]


def _session_errors(overview: Overview) -> Iterator[str]:
    """Yield an `::error` for each failed session without findings."""
    for session in overview.failed:
        if session.why:
            yield command("error", session.why, title=session.name)
        elif not any(check.findings for check in session.checks):
            yield command("error", session.headline or "failed", title=session.name)


def _over_cap_notice(errors: int, warnings: int) -> Iterator[str]:
    """If commands were omitted, yield a `::notice` that states how many."""
    over = {"more error": errors - CAP, "more warning": warnings - CAP}
    rest = [count(number, noun) for noun, number in over.items() if number > 0]
    if rest:
        text = f"{' and '.join(rest)}, in reports/index.html"
        yield command("notice", text, title="Not shown here")


def log(overview: Overview, token: str) -> str:
    """Return the text for GitHub's log.

    The text contains the passed sessions in a folded group, then the failures, then the
    workflow commands.

    Args:
        token: a random word. The text for GitHub's log has two lines that contain this
            word. Between these two lines, GitHub does not execute commands.
    """
    good = [
        session for session in overview.sessions if session.state is not State.FAILURE
    ]
    lines = []
    if good:
        lines += [f"::group::{count(len(good), 'session')} without a failure"]
        lines += [
            *_quoted(
                [terminal.job(session.result) for session in good if session.result],
                token,
            )
        ]
        lines += ["::endgroup::"]
    bad = []
    for session in overview.failed:
        bad += (
            [f"{session.state.symbol} {session.name}: {session.why}"]
            if session.why
            else []
        )
        bad += [terminal.job(session.result)] if session.result else []
    lines += _quoted(bad, token) if bad else []
    return "\n".join([*lines, *commands(overview)])


def command(kind: str, message: str, **properties: str | int | None) -> str:
    """Return a workflow command with escaped values.

    An unescaped value could start another command.
    """
    values = ",".join(
        f"{name}={_property(value)}"
        for name, value in properties.items()
        if value is not None
    )
    text = _escape(shorten(message, MESSAGE_LIMIT))
    return f"::{kind}{' ' if values else ''}{values}::{text}"


def _annotation(kind: str, finding: Finding, title: str) -> str:
    return command(
        kind,
        finding.message or finding.rule,
        file=finding.file,
        line=finding.line,
        title=title,
    )


def _escape(text: str) -> str:
    text = terminal.plain(text).replace("%", "%25")
    return text.replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str | int) -> str:
    return _escape(str(value)).replace(":", "%3A").replace(",", "%2C")


def _quoted(texts: list[str], token: str) -> Iterator[str]:
    yield f"::stop-commands::{token}"
    yield from map(terminal.plain, texts)
    yield f"::{token}::"
