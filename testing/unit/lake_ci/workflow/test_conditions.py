"""GitHub starts the expected jobs for each event and failure, according to GitHub's
documented rules.
"""

from __future__ import annotations

import random
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lake_ci.model.events import Event, Plan, select
from lake_ci.model.job import ALWAYS, ENVIRONMENTS, EVENTS, Graph, Job
from lake_ci.pipeline.plan import parser, plan_of
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite
from lake_ci.workflow.conditions import condition
from lake_ci.workflow.workflow import PUBLISH, SUMMARY, render
from testing.unit.lake_ci.workflow import github_rules as github
from testing.unit.lake_ci.workflow.github_rules import (
    CANCELLED,
    FAILURE,
    SUCCESS,
    Trigger,
)

Workflow = dict[str, Any]
REPOSITORY = Path(__file__).parents[4]
TAG = Trigger("push", "refs/tags/v1.2.3")
TRIGGERS = {
    "push to main": Trigger("push", "refs/heads/main"),
    "push to develop": Trigger("push", "refs/heads/develop"),
    "pull request": Trigger("pull_request", "refs/pull/7/merge"),
    "pull request of a fork": Trigger("pull_request", "refs/pull/8/merge", fork=True),
    "merge group": Trigger("merge_group", "refs/heads/gh-readonly-queue/main/pr-7"),
    "schedule": Trigger("schedule", "refs/heads/main"),
    "tag": TAG,
    "dispatch on a tag": Trigger("workflow_dispatch", TAG.ref, {"environment": "dev"}),
}
for name in ENVIRONMENTS:
    chosen = {"environment": name}
    TRIGGERS[f"dispatch to {name}"] = Trigger("workflow_dispatch", inputs=chosen)
TESTED = {"lint", "security", "terraform", "tests", "suite", "docker", "k8s", "build"}
DISPATCHED = TESTED | {"acceptance", "verify", "deploy"}
# The jobs of each event, as in README.md.
DECLARED = {
    "push to main": TESTED | {"performance", "verify", "deploy"},
    "push to develop": TESTED,
    "pull request": TESTED,
    "pull request of a fork": TESTED,
    "merge group": TESTED,
    "schedule": {"security", "acceptance", "inputs"},
    "tag": TESTED | {"verify"},
    "dispatch on a tag": DISPATCHED,
    **{f"dispatch to {name}": DISPATCHED for name in ENVIRONMENTS},
}


def session(run: Run) -> None:
    """Do it."""


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch, handlers: None) -> Graph:
    """Return the jobs of this repository's noxfile."""
    import nox
    from nox import _options

    monkeypatch.setattr(nox, "options", _options.NoxfileOptions())
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = runpy.run_path(str(REPOSITORY / "noxfile.py")).values()
    return next(each for each in found if isinstance(each, Suite)).graph


@pytest.fixture(scope="module")
def workflow() -> Workflow:
    """Return the committed workflow file."""
    path = REPOSITORY / ".github" / "workflows" / "ci.yml"
    return github.parse(path.read_text(encoding="utf-8"))


def variables(trigger: Trigger) -> dict[str, str]:
    """Return the environment variables that GitHub sets for an event."""
    name = trigger.ref.split("/", 2)[2]
    found = {"GITHUB_EVENT_NAME": trigger.event, "GITHUB_REF_TYPE": trigger.ref_type}
    head = "topic" if trigger.event == "pull_request" else ""
    return found | {"GITHUB_REF_NAME": name, "GITHUB_HEAD_REF": head}


def plan_arguments(trigger: Trigger) -> list[str]:
    """Return the arguments of `nox -s plan` for an event."""
    tag = trigger.event == "push" and trigger.ref_type == "tag"
    name = trigger.ref.split("/", 2)[2]
    environment = trigger.inputs.get("environment")
    words = ["--event", "tag" if tag else trigger.event, "--branch", name]
    return words + (["--environment", environment] if environment else [])


def planned(graph: Graph, env: Mapping[str, str], *arguments: str) -> Plan:
    return plan_of(graph, REPOSITORY, env, parser("-s plan ").parse_args(arguments))


def names(plan: Plan) -> set[str]:
    return {job.name for job in plan.starts}


def closing(name: str) -> set[str]:
    """Return the jobs of the workflow that are not declared in the noxfile. These jobs
    run after the declared jobs if no declared job fails.
    """
    return {SUMMARY, PUBLISH} if name == "tag" else {SUMMARY}


@pytest.mark.parametrize("name", TRIGGERS)
def test_github_starts_what_the_plan_names_and_publishes_a_tag(
    name: str, graph: Graph, workflow: Workflow
) -> None:
    trigger = TRIGGERS[name]
    started = github.ran(github.run(workflow, trigger))
    assert started == DECLARED[name] | closing(name)
    here = names(planned(graph, {}, *plan_arguments(trigger)))
    assert here == names(planned(graph, variables(trigger))) == DECLARED[name]


@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize("outcome", [FAILURE, CANCELLED])
def test_after_a_job_that_did_not_pass_github_skips_what_the_plan_skips(
    name: str, outcome: str, graph: Graph, workflow: Workflow
) -> None:
    trigger = TRIGGERS[name]
    arguments = plan_arguments(trigger)
    for bad in sorted(DECLARED[name]):
        results = github.run(workflow, trigger, {bad: outcome})
        # Here, the summary passes although a job failed. So the success of the summary
        # alone must not start a release.
        assert (results[bad], results[SUMMARY]) == (outcome, SUCCESS)
        rest = names(planned(graph, {}, *arguments, "--skip", bad))
        assert github.ran(results) == rest | {bad, SUMMARY}, bad


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_failed_summary_publishes_nothing(name: str, workflow: Workflow) -> None:
    results = github.run(workflow, TRIGGERS[name], {SUMMARY: FAILURE})
    assert github.ran(results) == DECLARED[name] | {SUMMARY}


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_cancelled_workflow_ends_with_the_summary(
    name: str, workflow: Workflow
) -> None:
    for at in sorted(DECLARED[name]):
        results = github.run(workflow, TRIGGERS[name], cancelled_at=at)
        before = github.ancestors(workflow["jobs"], at)
        assert github.ran(results) == before | {at, SUMMARY}, at
    results = github.run(workflow, TRIGGERS[name], cancelled_at=SUMMARY)
    assert PUBLISH not in github.ran(results)


def test_an_event_that_is_not_declared_starts_nothing(
    workflow: Workflow,
) -> None:
    for ref in ("refs/heads/topic", "refs/tags/nightly"):
        assert github.run(workflow, Trigger("push", ref)) == {}
    assert github.run(workflow, Trigger("issues")) == {}


def graphs() -> Iterator[Graph]:
    """Generate small graphs of any shape. Each job has random events."""
    chance = random.Random(20130101)
    single = ("push:main", "push:develop", *EVENTS)
    for _ in range(60):
        graph = Graph()
        for number in range(chance.randint(1, 6)):
            some = tuple(chance.sample(single, chance.randint(0, 4)))
            events = chance.choice([ALWAYS, ALWAYS, EVENTS, some])
            known = list(graph.jobs)
            needs = tuple(chance.sample(known, chance.randint(0, min(2, number))))
            reports = ("dist/",) if chance.random() < 0.3 else ()
            made = Job(f"job-{number}", session, needs, events, reports=reports)
            graph.add(made)
        yield graph


def test_github_and_the_plan_agree_on_any_graph() -> None:
    released = 0
    for graph in graphs():
        workflow = github.parse(render(graph))
        for trigger in TRIGGERS.values():
            event = Event(plan_arguments(trigger)[1], plan_arguments(trigger)[3])
            results = github.run(workflow, trigger)
            plan = select(graph, event)
            assert github.ran(results) - {SUMMARY, PUBLISH} == names(plan), graph
            built = [job for job in plan.starts if "dist/" in job.reports]
            publishes = trigger is TAG and built != []
            assert (PUBLISH in github.ran(results)) is publishes, graph
            released += publishes
    assert released > 10


def test_a_failure_beside_the_build_holds_the_release_back() -> None:
    graph = Graph()
    graph.add(Job("docs", session))
    graph.add(Job("nightly", session, events=("schedule",)))
    graph.add(Job("build-wheel", session, reports=("dist/",)))
    workflow = github.parse(render(graph))
    assert PUBLISH in github.ran(github.run(workflow, TAG))
    outcomes = {"docs": FAILURE, SUMMARY: FAILURE}
    assert PUBLISH not in github.ran(github.run(workflow, TAG, outcomes))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (EVENTS, None),
        (ALWAYS, "github.event_name != 'schedule'"),
        (("schedule",), "github.event_name == 'schedule'"),
        (("push",), "(github.event_name == 'push' && github.ref_type == 'branch')"),
        (("tag",), "(github.event_name == 'push' && github.ref_type == 'tag')"),
        (
            ("push:main", "workflow_dispatch"),
            "(github.event_name == 'push' && github.ref == 'refs/heads/main')"
            " || github.event_name == 'workflow_dispatch'",
        ),
        ((), "false"),
    ],
)
def test_condition_of_events(events: tuple[str, ...], expected: str | None) -> None:
    assert condition(Job("one", session, events=events)) == expected
