"""Tests how the history of runs is stored and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Status
from lake_ci.report import history
from lake_ci.report.overview import Overview, Past, PastSession, State
from testing.unit.lake_ci.report import samples


def past(
    run: str = "before",
    branch: str | None = "main",
    sessions: Mapping[str, PastSession] | None = None,
) -> Past:
    return Past(
        run,
        "push",
        branch,
        None,
        "2026-01-30T02:00:00Z",
        State.SUCCESS,
        100.0,
        sessions or {},
    )


def changes(overview: Overview) -> list[tuple[str, str, str]]:
    return [
        (change.kind, change.session, change.text)
        for change in history.compare(overview)
    ]


def everything_alike(overview: Overview) -> dict[str, PastSession]:
    return dict(history.past_of(overview).sessions)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    run = history.past_of(samples.overview_of(tmp_path))
    assert history.from_text(history.to_text([run])) == [run]
    assert run.sessions["lint"] == PastSession(
        State.SUCCESS, 10.0, {"check": "success"}
    )


def test_the_newest_twenty_are_kept() -> None:
    runs = history.from_text(
        history.to_text([past(str(number)) for number in range(25)])
    )
    assert [run.run for run in runs] == [str(number) for number in range(5, 25)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ('{"schema": 9, "runs": []}', "schema 9, expected 1"),
        ("[]", "not a history"),
        ('{"schema": 1, "runs": [{}]}', "not a history"),
        ('{"schema": 1, "runs": [{"sessions": []}]}', "not a history"),
    ],
)
def test_another_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        history.from_text(text)


def test_the_newest_run_of_the_same_branch_is_compared_with(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path)
    runs = (past("old"), past("newer"), past("other", branch="develop"))
    here, elsewhere = (
        replace(overview, past=runs).previous,
        replace(overview, past=runs[2:]).previous,
    )
    assert here is not None and here.run == "newer"
    assert elsewhere is not None and elsewhere.run == "other"


def test_comparison_is_empty_for_equal_runs_and_without_a_previous_run(
    tmp_path: Path,
) -> None:
    overview = samples.overview_of(tmp_path)
    assert changes(overview) == []
    assert (
        changes(replace(overview, past=(past(sessions=everything_alike(overview)),)))
        == []
    )


def test_what_fails_now_stands_first_then_what_was_mended(tmp_path: Path) -> None:
    broken = CheckResult("mypy", Status.FAILURE)
    overview = samples.overview_of(
        tmp_path, lint=[samples.passed("flake8")], docker=[broken]
    )
    sessions = everything_alike(overview)
    sessions["lint"] = PastSession(State.FAILURE, 10.0, {"flake8": "failure"})
    sessions["docker"] = PastSession(State.SUCCESS, 10.0, {"mypy": "success"})
    del sessions["build"]
    assert changes(replace(overview, past=(past(sessions=sessions),))) == [
        ("failing", "docker", "mypy, was success"),
        ("fixed", "lint", "flake8"),
        ("new", "build", "passed; was not in that run"),
    ]


def test_only_a_notable_difference_in_time_is_one(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path)
    sessions = everything_alike(overview)
    for name, seconds in {
        "lint": 5.1,
        "security": 5.0,
        "build": 15.0,
        "docker": 14.9,
    }.items():
        sessions[name] = replace(sessions[name], seconds=seconds)
    assert changes(replace(overview, past=(past(sessions=sessions),))) == [
        ("slower", "security", "10.0 s, was 5.0 s"),
        ("faster", "build", "10.0 s, was 15.0 s"),
    ]


def test_a_session_that_left_no_result_fails_anew(tmp_path: Path) -> None:
    before = samples.overview_of(tmp_path)
    (tmp_path / "reports" / "lint" / "result.json").unlink()
    runs = (past(sessions=everything_alike(before)),)
    for running, kind, word in ((False, "failing", "failed"), (True, "new", "running")):
        overview = replace(samples.collect(tmp_path, running=running), past=runs)
        why = overview.sessions[0].why
        assert changes(overview) == [(kind, "lint", f"{word}, was passed: {why}")]
