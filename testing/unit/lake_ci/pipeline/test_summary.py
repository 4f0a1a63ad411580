"""Tests which results the summary of a run includes, which it lists as rejected, and
the files to which it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.model.events import Event, select
from lake_ci.model.job import Graph
from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.pipeline import summary
from lake_ci.report.overview import Overview, Session, State
from testing.unit.lake_ci.report import samples

HISTORY = "reports/.history/runs.json"


@pytest.fixture
def graph() -> Graph:
    return samples.design()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Return a repository with a successful result for each session that a push to main
    starts.
    """
    samples.leave_all(tmp_path, samples.plan_of(samples.design()))
    return tmp_path


def one(overview: Overview, name: str) -> Session:
    [session] = [session for session in overview.sessions if session.id == name]
    return session


def refused(overview: Overview) -> dict[str, str]:
    return {entry.file: entry.reason for entry in overview.refused}


def test_planned_sessions_have_results_and_other_jobs_reasons(
    good: Path,
) -> None:
    overview = samples.collect(good)
    assert [node.name for node in overview.nodes] == list(samples.design().jobs)[:-1]
    assert len(overview.sessions) == 14
    assert all(session.result is not None for session in overview.sessions)
    assert "schedule" in (overview.nodes[-1].skipped or "")
    assert (overview.state, overview.exit_code, overview.refused) == (
        State.SUCCESS,
        0,
        (),
    )
    assert (overview.event, overview.branch, overview.made) == (
        "push",
        "main",
        "2026-01-31T02:10:00Z",
    )


def test_the_job_that_makes_the_report_is_not_waited_for(
    good: Path, graph: Graph
) -> None:
    plan = select(graph, Event("push", "main"), only=["lint", "summary"])
    assert [session.id for session in samples.collect(good, plan).sessions] == ["lint"]
    overview = samples.collect(good, plan, itself="lint")
    assert [(session.id, session.state) for session in overview.sessions] == [
        ("summary", State.FAILURE)
    ]


def test_no_result_is_no_success(good: Path) -> None:
    (good / "reports" / "security" / "result.json").unlink()
    overview = samples.collect(good)
    assert (one(overview, "security").state, one(overview, "security").why) == (
        State.FAILURE,
        "no result was written",
    )
    assert overview.exit_code == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"schema": 2, "run"', "Expecting"),
        ("[]", "list indices"),
        ('{"schema": 1}', "schema 1"),
        ('{"schema": 2}', "'run'"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_an_unreadable_result_is_refused_by_name_and_counts_as_failure(
    good: Path, text: str, reason: str
) -> None:
    (good / "reports" / "lint" / "result.json").write_text(text, encoding="utf-8")
    overview = samples.collect(good)
    message = refused(overview)["reports/lint/result.json"]
    assert reason in message
    assert str(good) not in message
    assert one(overview, "lint").why == f"its result was ignored: {message}"
    assert overview.exit_code == 1


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"run": "older"}, "older"),
        ({"commit": "f" * 40}, "ffffffffffff"),
        ({"partial": True}, "lint"),
        ({"attempt": 2}, "2"),
        ({"seconds": float("inf")}, "seconds"),
    ],
)
def test_a_result_that_is_not_this_runs_is_refused_by_name(
    good: Path, graph: Graph, change: dict[str, Any], value: str
) -> None:
    samples.leave(good, samples.result_of(graph.jobs["lint"].variants[0], **change))
    overview = samples.collect(good)
    [(file, reason)] = refused(overview).items()
    assert file == "reports/lint/result.json"
    assert re.search(rf"\b{value}\b", reason)
    assert one(overview, "lint").state is State.FAILURE
    for page in ("summary.md", "index.html"):
        assert summary.write(overview, good, {}) == 1
        assert reason in (good / "reports" / page).read_text(encoding="utf-8")


def test_a_result_that_nobody_planned_is_refused_and_fails_nothing(
    good: Path, graph: Graph
) -> None:
    samples.leave(good, samples.result_of(graph.jobs["acceptance"].variants[0]))
    overview = samples.collect(good)
    assert list(refused(overview)) == ["reports/acceptance/result.json"]
    assert overview.exit_code == 0


def test_the_newest_attempt_of_each_session_counts(good: Path, graph: Graph) -> None:
    variant = graph.jobs["lint"].variants[0]
    samples.leave(good, samples.result_of(variant, samples.failed("mypy")))
    samples.leave(
        good,
        samples.result_of(variant, samples.passed("mypy"), attempt=2),
        "lint-again",
    )
    overview = samples.collect(good, attempt=2)
    assert one(overview, "lint").state is State.SUCCESS
    assert refused(overview) == {
        "reports/lint/result.json": "is of attempt 1; attempt 2 is used"
    }
    # GitHub reruns only the sessions that failed in the first attempt: here, lint.
    assert overview.exit_code == 0


def test_what_needs_a_failed_job_and_left_nothing_was_skipped(
    good: Path, graph: Graph
) -> None:
    for name in ("k8s", "build"):
        (good / "reports" / name / "result.json").unlink()
    samples.leave(
        good,
        samples.result_of(graph.jobs["docker"].variants[0], samples.failed("build")),
    )
    overview = samples.collect(good)
    assert (one(overview, "k8s").state, one(overview, "k8s").why) == (
        State.SKIPPED,
        "needs docker, which did not pass",
    )
    assert "k8s" in one(overview, "build").why
    assert overview.exit_code == 1


def test_a_need_that_was_not_planned_excuses_nothing(
    tmp_path: Path, graph: Graph
) -> None:
    plan = select(graph, Event("push", "main"), only=["build"])
    assert one(samples.collect(tmp_path, plan), "build").state is State.FAILURE


def test_a_session_that_has_not_ended_fails_nothing_while_the_run_goes_on(
    good: Path, graph: Graph
) -> None:
    (good / "reports" / "build" / "result.json").unlink()
    overview = samples.collect(good, running=True)
    assert (
        one(overview, "build").state.symbol,
        overview.state,
        overview.exit_code,
    ) == (
        "⏳",
        State.RUNNING,
        0,
    )
    assert summary.write(overview, good, {}) == 0
    assert "⏳ running | build" in (good / "reports" / "summary.md").read_text(
        encoding="utf-8"
    )
    assert not (good / HISTORY).exists()
    samples.leave(
        good, samples.result_of(graph.jobs["lint"].variants[0], samples.failed("mypy"))
    )
    assert samples.collect(good, running=True).exit_code == 1


def test_githubs_word_that_a_job_failed_outweighs_its_results(
    good: Path, graph: Graph
) -> None:
    github_results = {"lint": "cancelled", "tests": "failure", "build": "success"}
    overview = samples.collect(good, github_results=github_results)
    assert one(overview, "lint").state is State.FAILURE
    assert (
        one(overview, "lint").headline
        == "its result is passed, but GitHub reports cancelled"
    )
    assert one(overview, "build").state is State.SUCCESS
    # GitHub reports a single result for a whole matrix, here a failure. No session
    # reports a failure, so it is unknown which session of the matrix failed.
    tests = [each.state for each in overview.sessions if each.job == "tests"]
    assert tests == [State.FAILURE] * 6
    samples.leave(
        good, samples.result_of(graph.jobs["tests"].variants[0], samples.failed("unit"))
    )
    tests = [
        each.state
        for each in samples.collect(good, github_results=github_results).sessions
        if each.job == "tests"
    ]
    assert tests == [State.FAILURE] + [State.SUCCESS] * 5


def test_githubs_word_tells_skipped_from_lost(good: Path, graph: Graph) -> None:
    for name in ("k8s", "security"):
        (good / "reports" / name / "result.json").unlink()
    samples.leave(
        good,
        samples.result_of(graph.jobs["docker"].variants[0], samples.failed("build")),
    )
    overview = samples.collect(
        good, github_results={"k8s": "failure", "security": "skipped"}
    )
    assert one(overview, "k8s").state is State.FAILURE
    assert (one(overview, "security").state, one(overview, "security").why) == (
        State.SKIPPED,
        "skipped by GitHub",
    )


def test_a_skipped_session_keeps_its_own_result(tmp_path: Path) -> None:
    plan = samples.leave_realistic(tmp_path)
    deploy = one(samples.collect(tmp_path, plan), "deploy")
    assert (deploy.state, "build" in deploy.headline) == (State.SKIPPED, True)


def test_tests_are_read_from_junit_xml_and_a_broken_one_is_named(good: Path) -> None:
    (good / "reports" / "lint" / "junit.xml").write_text(
        samples.junit_xml(("a", 1.5, "")), encoding="utf-8"
    )
    (good / "reports" / "docker" / "junit.xml").write_text(
        "<testsuites>", encoding="utf-8"
    )
    overview = samples.collect(good)
    assert [(test.name, test.seconds) for test in one(overview, "lint").tests] == [
        ("testing.unit.test_x::a", 1.5)
    ]
    assert one(overview, "docker").note.startswith("its junit.xml cannot be read: ")
    assert one(overview, "docker").state is State.SUCCESS


def test_both_reports_are_written_whole_and_the_code_is_that_of_the_run(
    good: Path,
) -> None:
    assert summary.write(samples.collect(good), good, {}) == 0
    assert (
        (good / "reports" / "summary.md")
        .read_text(encoding="utf-8")
        .startswith("## ✅ ")
    )
    assert (
        (good / "reports" / "index.html")
        .read_text(encoding="utf-8")
        .endswith("</html>\n")
    )
    assert not [
        path
        for path in (good / "reports").iterdir()
        if path.is_file() and path.name.startswith(".")
    ]


def test_a_run_is_compared_with_the_one_before_and_enters_the_history_once(
    good: Path, graph: Graph
) -> None:
    first = samples.collect(good)
    assert first.previous is None
    summary.write(replace(first, run="before"), good, {})
    samples.leave(
        good, samples.result_of(graph.jobs["lint"].variants[0], samples.failed("mypy"))
    )
    for _ in range(2):
        second = samples.collect(good)
        assert second.previous is not None and second.previous.run == "before"
        summary.write(second, good, {})
    runs = json.loads((good / HISTORY).read_text(encoding="utf-8"))["runs"]
    assert [run["run"] for run in runs] == ["before", samples.RUN]
    assert "- failing: lint: mypy" in (good / "reports" / "summary.md").read_text(
        encoding="utf-8"
    )


def test_a_broken_history_is_said_and_written_anew(good: Path) -> None:
    (good / HISTORY).parent.mkdir()
    (good / HISTORY).write_text("{", encoding="utf-8")
    overview = samples.collect(good)
    assert "runs.json cannot be read, so no runs are compared: " in overview.notes[0]
    summary.write(overview, good, {})
    assert samples.collect(good, run="next").previous is not None


def test_githubs_step_summary_is_appended_to(good: Path, tmp_path: Path) -> None:
    step = tmp_path / "step.md"
    step.write_text("before\n", encoding="utf-8")
    summary.write(samples.collect(good), good, {"GITHUB_STEP_SUMMARY": str(step)})
    report = (good / "reports" / "summary.md").read_text(encoding="utf-8")
    assert step.read_text(encoding="utf-8") == "before\n" + report


def test_githubs_step_summary_is_cut_below_its_limit(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "STEP_SUMMARY_LIMIT", 600)
    step = tmp_path / "step.md"
    summary.write(samples.collect(good), good, {"GITHUB_STEP_SUMMARY": str(step)})
    text = step.read_text(encoding="utf-8")
    assert len(text.encode()) <= 600
    assert text.endswith(" reports/summary.md\n")


def test_the_limit_is_githubs() -> None:
    assert summary.STEP_SUMMARY_LIMIT == 1024 * 1024


def test_annotations_are_printed_on_github_and_nowhere_else(
    good: Path, graph: Graph
) -> None:
    found = Finding("mypy", "arg-type", "wrong", "utils/a.py", 7)
    samples.leave(
        good,
        samples.result_of(
            graph.jobs["lint"].variants[0], samples.failed("mypy", found)
        ),
    )
    overview, lines = samples.collect(good), list[str]()
    assert summary.write(overview, good, {}, out=lines.append) == 1
    assert lines == []
    assert (
        summary.write(overview, good, {"GITHUB_ACTIONS": "true"}, out=lines.append) == 1
    )
    assert (
        lines[0].splitlines()[-1]
        == "::error file=utils/a.py,line=7,title=lint%2C mypy%3A arg-type::wrong"
    )


def test_on_github_files_are_linked_to_the_commit(good: Path) -> None:
    env = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r"}
    url = summary.source_url(good, env, samples.collect(good))
    assert url == f"https://github.com/o/r/blob/{samples.COMMIT}/"
    assert (
        summary.source_url(good, env, replace(samples.collect(good), commit=None))
        is None
    )


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://github.com/o/r.git", True),
        ("https://token@github.com/o/r", True),
        ("git@github.com:o/r.git", True),
        ("ssh://git@github.com/o/r.git", True),
        ("https://example.org/o/r.git", False),
        ("https://github.com.example.org/o/r.git", False),
    ],
)
def test_on_a_laptop_files_are_linked_where_github_has_them(
    root: Path, git: Callable[..., str], remote: str, shown: bool
) -> None:
    commit = git(root, "rev-parse", "HEAD")
    overview = replace(samples.collect(root), commit=commit)
    assert summary.source_url(root, {}, overview) is None
    git(root, "remote", "add", "origin", remote)
    # The remote exists, but the commit was not pushed yet.
    assert summary.source_url(root, {}, overview) is None
    git(root, "update-ref", "refs/remotes/origin/main", commit)
    expected = f"https://github.com/o/r/blob/{commit}/" if shown else None
    assert summary.source_url(root, {}, overview) == expected
    assert summary.source_url(root, {}, replace(overview, dirty=True)) is None


def test_a_warning_is_no_failure_and_a_failed_check_is(
    good: Path, graph: Graph
) -> None:
    variant = graph.jobs["lint"].variants[0]
    samples.leave(
        good,
        samples.result_of(
            variant, CheckResult("plan", Status.WARNING, not_checked="not all")
        ),
    )
    overview = samples.collect(good)
    assert (overview.state, overview.exit_code) == (State.WARNING, 0)
    samples.leave(
        good, samples.result_of(variant, samples.passed("a"), cause="timeout")
    )
    assert samples.collect(good).exit_code == 1
