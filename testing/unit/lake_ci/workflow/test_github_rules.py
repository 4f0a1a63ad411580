"""`github_rules` returns the results that GitHub's documentation states."""

from __future__ import annotations

from typing import Any

import pytest

from testing.unit.lake_ci.workflow.github_rules import (
    CANCELLED,
    FAILURE,
    SKIPPED,
    SUCCESS,
    Trigger,
    holds,
    parse,
    ran,
    run,
    starts,
)

# A chain of jobs: `second` is skipped, and `third` runs nevertheless. The test sets the
# condition of `last`.
CHAIN = """\
on: {{workflow_dispatch: {{}}}}
jobs:
  first: {{}}
  second: {{needs: [first], if: "false"}}
  third: {{needs: second, if: "always()"}}
  last: {{needs: [third], if: "{condition}"}}
"""
FILTERED = """\
on:
  push: {branches: [main, develop], tags: ["v*"]}
  pull_request: {}
jobs: {one: {}}
"""
DISPATCH = Trigger("workflow_dispatch")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("success()", SKIPPED),
        ("github.event_name == 'workflow_dispatch'", SKIPPED),
        ("needs.third.result == 'success'", SKIPPED),
        ("failure()", SKIPPED),
        ("always()", SUCCESS),
        ("${{ !cancelled() }}", SUCCESS),
        ("always() && needs.third.result == 'success'", SUCCESS),
        ("always() && needs.second.result == 'skipped'", SKIPPED),
    ],
)
def test_condition_behind_a_skipped_ancestor(condition: str, expected: str) -> None:
    results = run(parse(CHAIN.format(condition=condition)), DISPATCH)
    assert results == {
        "first": SUCCESS,
        "second": SKIPPED,
        "third": SUCCESS,
        "last": expected,
    }


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("failure()", SUCCESS), ("cancelled()", SKIPPED), ("!cancelled()", SUCCESS)],
)
def test_condition_behind_a_failed_ancestor(condition: str, expected: str) -> None:
    workflow = parse(CHAIN.format(condition=condition))
    results = run(workflow, DISPATCH, {"first": FAILURE})
    assert (results["first"], results["second"]) == (FAILURE, SKIPPED)
    assert results["last"] == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("always()", SUCCESS), ("cancelled()", SUCCESS), ("!cancelled()", SKIPPED)],
)
def test_condition_in_a_cancelled_workflow(condition: str, expected: str) -> None:
    workflow = parse(CHAIN.format(condition=condition))
    results = run(workflow, DISPATCH, cancelled_at="first")
    assert (results["first"], results["last"]) == (CANCELLED, expected)


def test_a_cancelled_workflow_starts_no_further_job_without_a_condition() -> None:
    workflow = parse("{on: {push: {branches: [main]}}, jobs: {one: {}, two: {}}}")
    assert ran(run(workflow, Trigger("push"), cancelled_at="one")) == {"one"}


@pytest.mark.parametrize(
    ("event", "ref", "expected"),
    [
        ("push", "refs/heads/main", True),
        ("push", "refs/heads/topic", False),
        ("push", "refs/tags/v1.0.0", True),
        ("push", "refs/tags/nightly", False),
        ("pull_request", "refs/pull/1/merge", True),
        ("schedule", "refs/heads/main", False),
    ],
)
def test_filters_of_a_push(event: str, ref: str, expected: bool) -> None:
    assert starts(parse(FILTERED), Trigger(event, ref)) is expected
    assert bool(run(parse(FILTERED), Trigger(event, ref))) is expected


CONTEXTS: dict[str, Any] = {"github": {"ref": "refs/heads/Main"}, "inputs": {"to": ""}}
FINE = {"success()": True, "failure()": False, "cancelled()": False, "always()": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, True),
        (True, True),
        (False, False),
        ("github.ref == 'refs/heads/main'", True),
        ("github.ref != 'refs/heads/main' || failure()", False),
        ("inputs.to || 'trial'", True),
        ("inputs.to", False),
        ("inputs.absent == ''", True),
        ("!(always() && failure())", True),
        ("'it''s' == 'IT''S'", True),
        ("failure() || success() && failure()", False),
    ],
)
def test_value_of_an_expression(text: object, expected: bool) -> None:
    assert holds(text, CONTEXTS, FINE) is expected


@pytest.mark.parametrize(
    "text",
    ["contains(github.ref, 'main')", "env.HOME", "github.ref == 1", "(always()"],
)
def test_unknown_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        holds(text, CONTEXTS, FINE)
