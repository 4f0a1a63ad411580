"""The plan shows which jobs an event starts, but does not run these jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.cache.lookup import Answer, CacheDecision
from lake_ci.cache.store import CacheEntry
from lake_ci.errors import UsageError
from lake_ci.model.events import Plan
from lake_ci.model.job import Graph, Job
from lake_ci.pipeline import plan as planning
from lake_ci.pipeline.durations import Durations
from lake_ci.pipeline.plan import (
    about,
    as_json,
    as_mermaid,
    as_text,
    estimate,
    estimate_text,
    parser,
    plan_of,
)
from lake_ci.runner.run import Run
from testing.unit.lake_ci.report import samples


def session(run: Run) -> None:
    """Do it."""


@pytest.fixture
def graph() -> Graph:
    graph = Graph()
    graph.add(Job("lint", session))
    graph.add(Job("security", session))
    graph.add(Job("tests", session, needs=("lint",), pythons=("3.10", "3.11")))
    graph.add(Job("build", session, needs=("tests", "security")))
    graph.add(Job("deploy", session, needs=("build",), events=("push:main",)))
    return graph


TIMES = {
    "lint": 10.0,
    "security": 25.0,
    "tests-3.10": 30.0,
    "tests-3.11": 40.0,
    "build": 5.0,
}


def known(**seconds: float) -> Durations:
    """Return the durations in `TIMES`; the given durations replace some of them."""
    return Durations({**TIMES, **seconds}, frozenset())


def decisions(plan: Plan, *cached: str) -> list[CacheDecision]:
    """Return the cache's decisions if only these sessions are cached."""
    entry = CacheEntry(Path(), "", "", samples.result_of(plan.variants[0]), 0.0, (), "")
    return [
        (
            CacheDecision(each, Answer.REUSE, entry=entry)
            if each.session in cached
            else CacheDecision(each, Answer.RUN)
        )
        for each in plan.variants
    ]


def plan(graph: Graph, root: Path, *arguments: str) -> Plan:
    return plan_of(graph, root, {}, parser("").parse_args(arguments))


def test_the_arguments_choose_event_branch_and_jobs(graph: Graph, root: Path) -> None:
    assert [
        job.name
        for job in plan(graph, root, "--event", "push", "--branch", "main").starts
    ] == [*("lint", "security", "tests", "build", "deploy")]
    assert [
        job.name
        for job in plan(graph, root, "--only", "tests,build", "--only", "lint").starts
    ] == [*("lint", "tests", "build")]
    assert [job.name for job in plan(graph, root, "--skip", "tests,").starts] == [
        "lint",
        "security",
    ]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["--onyl", "lint"], "'--only'"),
        (["--ev", "push"], "'--event'"),
        (["--event"], "--event"),
    ],
)
def test_a_wrong_option_is_answered_with_the_nearest(
    arguments: list[str], nearest: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parser("").parse_args(arguments)
    assert nearest in str(raised.value)
    assert "nox -- --help" in str(raised.value)


def test_an_environment_is_checked_before_anything_runs(
    graph: Graph, root: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"no environment 'prodution'; did you mean 'production'\?"
    ):
        plan(graph, root, "--environment", "prodution")
    with pytest.raises(UsageError, match="--environment has no effect"):
        plan(graph, root, "--environment", "dev")
    graph.add(Job("release", session, environment=True))
    assert plan(graph, root, "--environment", "dev").starts


@pytest.mark.parametrize(
    ("cached", "workers", "order", "path", "total", "seconds"),
    [
        pytest.param(
            (),
            2,
            ["lint", "tests-3.11", "tests-3.10", "security", "build"],
            ["lint", "tests-3.11", "build"],
            110,
            55,
            id="two workers",
        ),
        pytest.param(
            (),
            1,
            ["lint", "tests-3.11", "tests-3.10", "security", "build"],
            ["lint", "tests-3.11", "build"],
            110,
            110,
            id="one worker",
        ),
        pytest.param(
            ("lint", "tests-3.11", "tests-3.10"),
            2,
            ["security", "lint", "tests-3.11", "tests-3.10", "build"],
            ["security", "build"],
            30,
            30,
            id="cached sessions take no time",
        ),
        pytest.param(
            (*TIMES,),
            2,
            ["lint", "security", "tests-3.11", "tests-3.10", "build"],
            [],
            0,
            0,
            id="all cached",
        ),
    ],
)
def test_estimate_is_of_the_sessions_that_run(
    graph: Graph,
    root: Path,
    cached: tuple[str, ...],
    workers: int,
    order: list[str],
    path: list[str],
    total: float,
    seconds: float,
) -> None:
    chosen = plan(graph, root)
    found = estimate(chosen, known(), decisions(chosen, *cached), workers=workers)
    assert list(found.order) == order
    assert list(found.path) == path
    assert found.total_seconds == total
    assert found.seconds == seconds


def test_a_person_sees_the_order_the_reasons_and_the_time(
    graph: Graph, root: Path
) -> None:
    graph.jobs["security"] = replace(graph.jobs["security"], needs=())
    times = known(security=100.0, deploy=1.0)
    assert as_text(plan(graph, root), times, workers=2).splitlines() == [
        "pull_request on feature: 4 jobs",
        "5 sessions: 0 cached, 5 to run in about 2 min on 2 workers",
        "critical path: security → build, about 2 min",
        "`nox -s lint` takes about 10 s",
        "",
        "  1. security       about 2 min",
        "  2. lint           about 10 s",
        "  3. tests          2 sessions; about 40 s; after lint",
        "  4. build          about 5 s; after tests, security",
        "  -  deploy: only on push to main",
    ]


def test_sessions_without_a_recorded_run_make_it_an_estimate(
    graph: Graph, root: Path
) -> None:
    chosen = plan(graph, root)
    times = Durations(TIMES, frozenset({"lint", "tests-3.11"}))
    lines = estimate_text(estimate(chosen, times, workers=1))
    assert lines[:2] == [
        "5 sessions: 0 cached, 5 to run in about 2 min on 1 worker",
        "estimated: no run of 2 sessions is recorded",
    ]
    # The plan does not need the duration of a cached session.
    lines = estimate_text(
        estimate(chosen, times, decisions(chosen, "lint", "tests-3.11"))
    )
    assert lines[:2] == [
        "5 sessions: 2 cached, 3 to run in about 60 s on 1 worker",
        "critical path: tests-3.10 → build, about 35 s",
    ]


def test_nothing_to_run_takes_no_time(graph: Graph, root: Path) -> None:
    chosen = plan(graph, root)
    nothing = Durations({}, frozenset())
    lines = estimate_text(estimate(chosen, nothing, decisions(chosen, *TIMES)))
    assert lines == ["5 sessions: 5 cached, none to run"]


def test_the_only_session_that_runs_is_not_offered_as_quick(
    graph: Graph, root: Path
) -> None:
    chosen = plan(graph, root)
    cached = decisions(chosen, *(name for name in TIMES if name != "lint"))
    assert estimate_text(estimate(chosen, known(), cached)) == [
        "5 sessions: 4 cached, 1 to run in about 10 s on 1 worker",
        "critical path: lint, about 10 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (99.4, "99 s"), (100, "2 min"), (3600, "60 min")],
)
def test_expected_times_are_rounded(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_a_program_gets_the_same_as_json(graph: Graph, root: Path) -> None:
    times = Durations(TIMES, frozenset({"tests-3.11"}))
    body = json.loads(as_json(plan(graph, root), times, workers=2))
    assert (body["event"], body["branch"]) == ("pull_request", "feature")
    assert [job["job"] for job in body["jobs"]] == [
        "lint",
        "tests",
        "security",
        "build",
    ]
    assert body["jobs"][1] == {
        "job": "tests",
        "needs": ["lint"],
        "sessions": ["tests-3.10", "tests-3.11"],
        "seconds": 40.0,
    }
    assert body["order"] == ["lint", "tests-3.11", "tests-3.10", "security", "build"]
    assert body["skipped"] == {"deploy": "only on push to main"}
    assert body["critical_path"] == ["lint", "tests-3.11", "build"]
    assert (body["seconds"], body["workers"]) == (55.0, 2)
    assert body["unrecorded"] == ["tests-3.11"]


def test_the_graph_is_a_mermaid_flowchart_with_what_does_not_run_dashed(
    graph: Graph, root: Path
) -> None:
    lines = as_mermaid(plan(graph, root), graph).splitlines()
    assert lines[0] == "flowchart LR"
    assert "  lint:::starts" in lines
    assert "  deploy:::skipped" in lines
    assert "  tests --> build" in lines


def test_help_names_the_session(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        planning.parser("-s plan ").parse_args(["--help"])
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("usage: nox -s plan --")
