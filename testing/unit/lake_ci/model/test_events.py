"""Tests which event a run simulates, and which jobs each event starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.errors import UsageError
from lake_ci.model.events import Event, current, select
from lake_ci.model.job import ALWAYS, EVENTS, Graph, Job
from lake_ci.runner.run import Run


def session(run: Run) -> None:
    """Do it."""


@pytest.fixture
def graph() -> Graph:
    """Return a graph of jobs that different events start. Most jobs start at every
    event except the nightly schedule, and one of them also at night. One job starts
    only at a push to main, and one at a push to main or by hand.
    """
    graph = Graph()
    graph.add(Job("lint", session))
    graph.add(Job("security", session, events=(*ALWAYS, "schedule")))
    graph.add(Job("tests", session, needs=("lint",), pythons=("3.10", "3.11")))
    graph.add(Job("build", session, needs=("tests", "security")))
    graph.add(Job("performance", session, needs=("build",), events=("push:main",)))
    graph.add(
        Job(
            "deploy",
            session,
            needs=("build",),
            events=("push:main", "workflow_dispatch"),
        )
    )
    return graph


ALL = ("lint", "security", "tests", "build")


@pytest.mark.parametrize(
    ("event", "branch", "starts"),
    [
        ("push", "main", (*ALL, "performance", "deploy")),
        ("push", "develop", ALL),
        ("push", "feature", ALL),
        ("push", None, ALL),
        ("pull_request", "main", ALL),
        ("pull_request", "feature", ALL),
        ("merge_group", "main", ALL),
        ("merge_group", "gh-readonly-queue/main", ALL),
        ("workflow_dispatch", "main", (*ALL, "deploy")),
        ("workflow_dispatch", "feature", (*ALL, "deploy")),
        ("tag", "v1.0.0", ALL),
        ("schedule", "main", ("security",)),
        ("schedule", None, ("security",)),
    ],
)
def test_event_starts_jobs_in_order_and_gives_reasons_for_the_others(
    graph: Graph, event: str, branch: str | None, starts: tuple[str, ...]
) -> None:
    plan = select(graph, Event(event, branch))
    assert tuple(job.name for job in plan.starts) == starts
    assert set(plan.skipped) == {job.name for job in graph} - set(starts)
    assert all(plan.skipped.values())


def test_the_table_above_covers_every_event() -> None:
    assert set(EVENTS) == {
        "push",
        "pull_request",
        "merge_group",
        "workflow_dispatch",
        "tag",
        "schedule",
    }


def test_the_reason_says_when_a_job_runs(graph: Graph) -> None:
    skipped = select(graph, Event("pull_request", "feature")).skipped
    assert skipped["performance"] == "only on push to main"
    assert skipped["deploy"] == "only on push to main or workflow dispatch"


def test_a_plan_holds_every_session_of_a_matrix(graph: Graph) -> None:
    assert select(graph, Event("push", "develop")).sessions == (
        "lint",
        "security",
        "tests-3.10",
        "tests-3.11",
        "build",
    )


def test_a_skipped_job_takes_its_dependents_along(graph: Graph) -> None:
    plan = select(graph, Event("push", "main"), skip=["tests"])
    assert [job.name for job in plan.starts] == ["lint", "security"]
    assert plan.skipped == {
        "tests": "skipped by --skip",
        "build": "needs tests, which does not run",
        "performance": "needs build, which does not run",
        "deploy": "needs build, which does not run",
    }


def test_only_runs_just_these_with_their_needs_taken_as_met(graph: Graph) -> None:
    plan = select(graph, Event("push", "main"), only=["build", "lint"])
    assert [job.name for job in plan.starts] == ["lint", "build"]
    assert plan.skipped["tests"] == "not in --only build,lint"


def test_a_job_asked_for_by_name_runs_whatever_the_event(graph: Graph) -> None:
    plan = select(graph, Event("pull_request", "feature"), only=["deploy"])
    assert [job.name for job in plan.starts] == ["deploy"]


def test_skip_overrules_only(graph: Graph) -> None:
    plan = select(graph, Event("push", "main"), only=["lint"], skip=["lint"])
    assert plan.starts == ()
    assert "lint" in plan.skipped


@pytest.mark.parametrize("option", ["only", "skip"])
def test_an_unknown_job_is_refused(graph: Graph, option: str) -> None:
    with pytest.raises(UsageError, match="'tests'"):
        select(
            graph,
            Event("push", "main"),
            only=["test"] if option == "only" else [],
            skip=["test"] if option == "skip" else [],
        )


@pytest.mark.parametrize(
    ("env", "event"),
    [
        ({}, Event("pull_request", "feature")),
        (
            {"GITHUB_EVENT_NAME": "push", "GITHUB_REF_NAME": "main"},
            Event("push", "main"),
        ),
        (
            {
                "GITHUB_EVENT_NAME": "push",
                "GITHUB_REF_NAME": "v1.2.0",
                "GITHUB_REF_TYPE": "tag",
            },
            Event("tag", "v1.2.0"),
        ),
        (
            {
                "GITHUB_EVENT_NAME": "push",
                "GITHUB_REF_NAME": "main",
                "GITHUB_REF_TYPE": "branch",
            },
            Event("push", "main"),
        ),
        (
            {
                "GITHUB_EVENT_NAME": "pull_request",
                "GITHUB_HEAD_REF": "fix",
                "GITHUB_REF_NAME": "7/merge",
            },
            Event("pull_request", "fix"),
        ),
        (
            {
                "GITHUB_EVENT_NAME": "merge_group",
                "GITHUB_REF_NAME": "gh-readonly-queue/main/pr-7",
            },
            Event("merge_group", "gh-readonly-queue/main/pr-7"),
        ),
        (
            {"GITHUB_EVENT_NAME": "schedule", "GITHUB_REF_NAME": "main"},
            Event("schedule", "main"),
        ),
        (
            {"GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_REF_NAME": "develop"},
            Event("workflow_dispatch", "develop"),
        ),
        # No workflow of the project starts at this event of GitHub.
        (
            {"GITHUB_EVENT_NAME": "issues", "GITHUB_REF_NAME": "main"},
            Event("push", "main"),
        ),
    ],
)
def test_the_event_is_the_one_github_names_or_would_see(
    root: Path, env: dict[str, str], event: Event
) -> None:
    assert current(root, env) == event


@pytest.mark.parametrize(
    ("branch", "name"),
    [
        ("main", "push"),
        ("develop", "push"),
        ("main2", "pull_request"),
        ("x", "pull_request"),
    ],
)
def test_a_laptop_plays_a_push_on_the_trunks_and_a_pull_request_elsewhere(
    root: Path, git: Callable[..., str], branch: str, name: str
) -> None:
    git(root, "branch", "-m", branch)
    assert current(root, {}) == Event(name, branch)


def test_a_detached_checkout_plays_a_pull_request(
    root: Path, git: Callable[..., str]
) -> None:
    git(root, "checkout", "-q", "--detach")
    assert current(root, {}) == Event("pull_request", None)
    assert str(current(root, {})) == "pull_request"


@pytest.mark.parametrize("name", EVENTS)
def test_name_and_branch_overrule_what_github_says(root: Path, name: str) -> None:
    env = {
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF_NAME": "v1",
        "GITHUB_REF_TYPE": "tag",
    }
    event = current(root, env, name=name, branch="main")
    assert event == Event(name, "main")
    assert str(event) == f"{name} on main"


def test_an_unknown_event_is_refused(root: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no event 'pull-request'; did you mean 'pull_request'\?"
    ):
        current(root, {}, name="pull-request")
