"""What an event would run, told before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci import plan as planning
from lake_ci import results
from lake_ci.errors import UsageError
from lake_ci.events import Plan
from lake_ci.job import Graph, Job
from lake_ci.plan import as_json, as_mermaid, as_text, critical_path, expected, parser, plan_of
from lake_ci.results import Check, Result, Status
from lake_ci.run import Run


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


TIMES = {"lint": 10.0, "security": 25.0, "tests-3.10": 30.0, "tests-3.11": 40.0, "build": 5.0}


def plan(graph: Graph, root: Path, *arguments: str) -> Plan:
    return plan_of(graph, root, {}, parser("").parse_args(arguments))


def test_the_arguments_choose_event_branch_and_jobs(graph: Graph, root: Path) -> None:
    assert [job.name for job in plan(graph, root, "--event", "push", "--branch", "main").starts] == [
        *("lint", "security", "tests", "build", "deploy")
    ]
    assert [job.name for job in plan(graph, root, "--only", "tests,build", "--only", "lint").starts] == [
        *("lint", "tests", "build")
    ]
    assert [job.name for job in plan(graph, root, "--skip", "tests,").starts] == ["lint", "security"]


def test_nothing_runs_again_that_did_not_change(graph: Graph, root: Path) -> None:
    unchanged = plan(graph, root, "--changed-since", "HEAD")
    assert unchanged.starts == ()
    assert unchanged.skipped["lint"].startswith("unchanged since ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--onyl", "lint"], "no option '--onyl'; did you mean '--only'?"),
        (["--ev", "push"], "no option '--ev'; did you mean '--event'?"),
        (["--event"], "argument --event: expected one argument"),
    ],
)
def test_a_wrong_option_is_answered_with_the_nearest(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parser("").parse_args(arguments)
    assert str(raised.value) == message


def test_an_environment_is_checked_before_anything_runs(graph: Graph, root: Path) -> None:
    with pytest.raises(UsageError, match=r"no environment 'prodution'; did you mean 'production'\?"):
        plan(graph, root, "--environment", "prodution")
    with pytest.raises(UsageError, match="no job deploys"):
        plan(graph, root, "--environment", "dev")
    graph.add(Job("release", session, environment=True))
    assert plan(graph, root, "--environment", "dev").starts


def write(root: Path, name: str, seconds: float, status: Status = Status.SUCCESS) -> Result:
    result = Result(
        run="1",
        attempt=1,
        event="push",
        commit=None,
        dirty=False,
        job=name,
        session=name,
        started="2026-01-31T02:00:00Z",
        seconds=seconds,
        reproduce=f"nox -s {name}",
        checks=(Check("one", status),),
    )
    results.write(root / "reports" / name, result)
    return result


def test_only_whole_runs_that_passed_say_how_long_a_job_takes(graph: Graph, root: Path) -> None:
    write(root, "lint", 10.0)
    write(root, "tests-3.10", 30.0, Status.WARNING)
    write(root, "tests-3.11", 2.0, Status.FAILURE)
    for name, partial, cause in (("security", True, None), ("build", False, "timeout")):
        results.write(root / "reports" / name, replace(write(root, name, 1.0), partial=partial, cause=cause))
    assert expected(root, graph) == {"lint": 10.0, "tests-3.10": 30.0}


def test_the_critical_path_is_the_slowest_chain_of_needs(graph: Graph, root: Path) -> None:
    jobs = plan(graph, root).starts
    assert critical_path(jobs, TIMES) == (["lint", "tests", "build"], 55.0)
    assert critical_path(jobs, {**TIMES, "security": 90.0}) == (["security", "build"], 95.0)
    assert critical_path(jobs, {}) == (["lint", "tests", "build"], 0.0)
    assert critical_path([], TIMES) == ([], 0.0)


def test_a_person_sees_the_order_the_reasons_and_the_time(graph: Graph, root: Path) -> None:
    assert as_text(plan(graph, root), TIMES).splitlines() == [
        "pull_request on feature: 4 jobs, 5 sessions",
        "critical path lint → tests → build, about 55.0 s by the last runs",
        "",
        "  1. lint           about 10.0 s",
        "  2. security       about 25.0 s",
        "  3. tests          2 sessions; about 40.0 s; after lint",
        "  4. build          about 5.0 s; after tests, security",
        "  -  deploy: only on push to main",
    ]


def test_times_that_are_not_known_are_said_to_be_missing(graph: Graph, root: Path) -> None:
    assert "; 3 sessions of unknown time not counted" in as_text(
        plan(graph, root), {"lint": 1.0, "build": 1.0}
    )
    assert "critical path" not in as_text(plan(graph, root), {})


def test_a_program_gets_the_same_as_json(graph: Graph, root: Path) -> None:
    body = json.loads(as_json(plan(graph, root), {"tests-3.10": 30.0}))
    assert (body["event"], body["branch"]) == ("pull_request", "feature")
    assert body["jobs"][2] == {
        "job": "tests",
        "needs": ["lint"],
        "sessions": ["tests-3.10", "tests-3.11"],
        "seconds": 30.0,
    }
    assert body["jobs"][0]["seconds"] is None
    assert body["skipped"] == {"deploy": "only on push to main"}
    assert (body["critical_path"], body["seconds"]) == (["lint", "tests", "build"], 30.0)


def test_the_graph_is_a_mermaid_flowchart_with_what_does_not_run_dashed(graph: Graph, root: Path) -> None:
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
