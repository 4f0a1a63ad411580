"""Tests the output in the terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from lake_ci.model.results import CheckResult, Finding, Result, Status
from lake_ci.report import terminal


def findings(number: int) -> tuple[Finding, ...]:
    return tuple(
        Finding("flake8", "F401", "'os' imported but unused", "utils/a.py", n + 1)
        for n in range(number)
    )


RESULT = Result(
    run="1",
    attempt=1,
    event="push",
    commit=None,
    dirty=False,
    job="tests-3.10-java17",
    session="tests-3.10(java17)",
    started="2026-01-31T02:00:00Z",
    seconds=81.2,
    reproduce='nox -s "tests-3.10(java17)"',
    checks=(CheckResult("unit", Status.SUCCESS, 80.04, "212 passed"),),
)


def test_a_row_says_how_the_check_ended_how_long_it_took_and_what_of_it() -> None:
    row = terminal.row(
        CheckResult("unit", Status.SUCCESS, 12.34, "212 passed"), symbols=True
    )
    assert row == "✅ unit                     12.3 s  212 passed"


def test_a_row_names_place_rule_and_message_of_each_finding() -> None:
    row = terminal.row(
        CheckResult("flake8", Status.FAILURE, 0.5, "1 finding", findings(1)),
        symbols=True,
    )
    assert row.splitlines() == [
        "❌ flake8                    0.5 s  1 finding",
        "     utils/a.py:1  F401  'os' imported but unused",
    ]


@pytest.mark.parametrize(
    ("number", "last"),
    [
        (10, None),
        (11, "     and 1 more finding, in result.json"),
        (15, "     and 5 more findings, in result.json"),
    ],
)
def test_beyond_the_tenth_finding_only_their_number_is_shown(
    number: int, last: str | None
) -> None:
    lines = terminal.row(
        CheckResult("flake8", Status.FAILURE, findings=findings(number)), symbols=True
    ).splitlines()
    shown = [line for line in lines if "F401" in line]
    assert len(shown) == 10
    assert (lines[-1] if last else None) == last


def test_a_finding_without_a_place_or_a_message_is_still_shown() -> None:
    bare = (Finding("pytest", "crash", ""), Finding("pytest", "crash", "first\nsecond"))
    row = terminal.row(CheckResult("unit", Status.FAILURE, findings=bare), symbols=True)
    assert row.splitlines()[1:] == ["     crash", "     crash  first", "       second"]


def test_what_was_not_checked_is_said_once() -> None:
    check = CheckResult(
        "java", Status.WARNING, 0.0, "no Java", not_checked="no test ran on Java 17"
    )
    assert terminal.row(check, symbols=True).splitlines()[1:] == [
        "     not checked: no test ran on Java 17"
    ]
    same = replace(check, detail="warning: no test ran on Java 17")
    assert len(terminal.row(same, symbols=True).splitlines()) == 1


def test_long_messages_are_wrapped_and_paths_never_broken() -> None:
    path = "testing/unit/" + "a-very-long-folder-name/" * 5 + "test_it.py"
    found = (Finding("pytest", "AssertionError", "word " * 40, path, 3),)
    lines = terminal.row(
        CheckResult("unit", Status.FAILURE, findings=found), symbols=True
    ).splitlines()
    assert f"{path}:3" in lines[1].split()
    assert all(len(line) <= 77 for line in lines if path not in line)
    assert "".join(lines).count("word") == 40


def test_a_long_detail_is_cut_on_a_terminal_and_kept_on_github(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = CheckResult("version", Status.SUCCESS, 0.1, "x" * 100)
    row = terminal.row(check, symbols=True)
    assert len(row) == 77
    assert row.endswith("x…")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert terminal.row(check, symbols=True).endswith("x" * 100)


def test_the_table_shows_every_job_its_checks_and_the_tally() -> None:
    failed = replace(
        RESULT,
        session="lint",
        reproduce="nox -s lint",
        checks=(
            CheckResult("mypy", Status.SUCCESS, 3.0),
            CheckResult("flake8", Status.FAILURE, 0.5, "1 finding", findings(1)),
        ),
        warnings=("the tree is dirty",),
    )
    unmet = replace(
        RESULT, session="build", seconds=0.0, checks=(), cause="need-failed"
    )
    warned = replace(
        RESULT,
        session="docs",
        seconds=200.0,
        checks=(CheckResult("links", Status.WARNING, 1.0, "old"),),
    )
    table = terminal.table(
        [RESULT, failed, unmet, warned],
        {"deploy": "only on push to main"},
        symbols=True,
    )
    assert [line.rstrip() for line in table.splitlines()] == [
        "✅ tests-3.10(java17)       81.2 s",
        "   ✅ unit                     80.0 s  212 passed",
        "❌ lint                     81.2 s",
        "   ✅ mypy                      3.0 s",
        "   ❌ flake8                    0.5 s  1 finding",
        "        utils/a.py:1  F401  'os' imported but unused",
        "   note: the tree is dirty",
        "   rerun: nox -s lint",
        "⏸️ build                     0.0 s  need failed",
        "⚠️ docs                   3 min 20 s",
        "   ⚠️ links                     1.0 s  old",
        "⏸️ deploy                           only on push to main",
        "",
        "✅ 1 passed, ❌ 1 failed, ⚠️ 1 with warnings, ⏸️ 2 skipped",
    ]


def test_the_cause_of_a_cut_short_job_stands_beside_it() -> None:
    assert (
        terminal.table([replace(RESULT, cause="timeout")], {}, symbols=True)
        .splitlines()[0]
        .endswith("timeout")
    )


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", "✅"), ("ascii", "ok  "), ("no-such-codec", "ok  ")],
)
def test_a_terminal_without_the_symbols_gets_words(
    monkeypatch: pytest.MonkeyPatch, encoding: str, mark: str
) -> None:
    monkeypatch.setattr(
        sys, "stdout", type("Terminal", (io.StringIO,), {"encoding": encoding})()
    )
    assert terminal.mark(Status.SUCCESS) == mark
    assert terminal.row(CheckResult("unit", Status.SUCCESS)).startswith(mark)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0.0 s"),
        (0.26, "0.3 s"),
        (99.94, "99.9 s"),
        (100, "1 min 40 s"),
        (200.9, "3 min 20 s"),
        (7205, "120 min 05 s"),
    ],
)
def test_seconds_are_told_in_minutes_once_there_are_many(
    number: float, text: str
) -> None:
    assert terminal.seconds(number) == text


def test_reused_result_shows_its_date_and_its_run() -> None:
    reused = replace(
        RESULT, reused={"run": "0123456789ab", "since": "2026-01-30T23:59:59Z"}
    )
    first = terminal.job(reused, symbols=True).splitlines()[0]
    assert (
        first == "✅ tests-3.10(java17)       81.2 s  as of 2026-01-30 23:59 UTC, run"
        " 0123456789ab"
    )
