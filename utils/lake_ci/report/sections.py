"""Renders the page's sections that work without a script.

The sections are failures, jobs, checks, coverage, panels and comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lake_ci.model.results import CheckResult, Status
from lake_ci.report import history
from lake_ci.report.markdown import coverage as measured
from lake_ci.report.overview import Overview, Session, State, TestCase
from lake_ci.report.rendering import render
from lake_ci.report.text import link, shorten

FINDINGS_SHOWN = 10
TESTS_SHOWN = 10
ROWS_SHOWN = 200
MESSAGE_LIMIT = 1500
ARTIFACTS_SHOWN = 50


class _Failure(NamedTuple):
    """A failed session, with the session's failed checks and tests."""

    session: Session
    cause: str
    checks: Sequence[CheckResult]
    findings_left_out: int
    tests: Sequence[TestCase]


def failures(overview: Overview, base: str) -> str:
    """Return each failed session with its reason, findings, tests and rerun command.

    Of many findings or many failed tests, only the first ones are shown.
    """
    return render(
        "failures.html",
        failures=[_failure(session) for session in overview.failed],
        base=base,
        findings_shown=FINDINGS_SHOWN,
        tests_shown=TESTS_SHOWN,
        message_limit=MESSAGE_LIMIT,
    )


def _failure(session: Session) -> _Failure:
    cause = session.result.cause if session.result else None
    failed = [check for check in session.checks if check.status is Status.FAILURE]
    return _Failure(
        session,
        session.why or (cause or "").replace("-", " "),
        failed,
        sum(max(len(check.findings) - FINDINGS_SHOWN, 0) for check in failed),
        [test for test in session.tests if test.outcome == "failed"],
    )


def not_checked(overview: Overview) -> str:
    """Return the checks that were incomplete, and the warnings of jobs."""
    return render(
        "not_checked.html",
        not_checked=list(overview.not_checked()),
        warnings=list(_warnings(overview)),
        notes=overview.notes,
    )


def _warnings(overview: Overview) -> Iterator[tuple[Session, str]]:
    for session in overview.sessions:
        for text in session.result.warnings if session.result else ():
            yield session, text
        if session.note:
            yield session, session.note


def jobs(overview: Overview) -> str:
    """Return a line for each session, and for each job without a session."""
    return render(
        "jobs.html",
        nodes=overview.nodes,
        past=overview.previous,
        skipped=State.SKIPPED,
    )


def checks(overview: Overview) -> str:
    """Return the checks, the artifacts and the rerun command of each session.

    The checks of a failed session are expanded.
    """
    return render(
        "checks.html",
        sessions=overview.sessions,
        state=State,
        artifact_url=_artifact_url,
        artifacts_shown=ARTIFACTS_SHOWN,
    )


def _artifact_url(name: str) -> str | None:
    # The link is relative to reports/, the folder of the page.
    if not name.startswith("reports/"):
        return link("../", name)
    return link("./", name.removeprefix("reports/"))


def coverage(overview: Overview, base: str) -> str:
    """For each session, return the coverage of each file in percent, lowest first."""
    variants = list(measured(overview))
    if not variants:
        return ""
    lowest: dict[str, float] = {}
    for _, _, files in variants:
        for name, share in files.items():
            lowest[name] = min(share, lowest.get(name, share))
    first = sorted(lowest, key=lambda name: (lowest[name], name))[:ROWS_SHOWN]
    return render(
        "coverage.html",
        names=[session.name for session, _, _ in variants],
        whole=[percent for _, percent, _ in variants],
        rows=[(name, [files.get(name) for _, _, files in variants]) for name in first],
        left_out=len(lowest) - len(first),
        base=base,
    )


class _Panel(NamedTuple):
    """A table from a check's `data["panel"]`; see `CheckResult`."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int


def panels(overview: Overview) -> str:
    """Return the tables from `data["panel"]` of all checks."""
    return render("panels.html", panels=list(_panels(overview)))


def _panels(overview: Overview) -> Iterator[_Panel]:
    for session in overview.sessions:
        for check in session.checks:
            panel: Any = check.data.get("panel")
            if isinstance(panel, dict) and isinstance(panel.get("rows"), list):
                title = f"{session.name}: {panel.get('title') or check.name}"
                columns = panel.get("columns")
                yield _Panel(
                    title,
                    list(map(str, columns)) if isinstance(columns, list) else [],
                    list(map(_cells, panel["rows"][:ROWS_SHOWN])),
                    len(panel["rows"]) - ROWS_SHOWN,
                )


def _cells(row: object) -> list[str]:
    return [_cell(value) for value in (row if isinstance(row, list) else [row])]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return shorten(str("" if value is None else value), MESSAGE_LIMIT)


def comparison(overview: Overview) -> str:
    """Return the differences between this run and the previous run."""
    if overview.previous is None:
        return ""
    return render(
        "comparison.html",
        past=overview.previous,
        changes=list(history.compare(overview)),
    )


def refused(overview: Overview) -> str:
    """Return the result.json files that were found and rejected."""
    return render("refused.html", refused=overview.refused)
