"""Tests the parsers of the workflow linters' output. The linters' output is for a
workflow with defects.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lake_ci.model.job import Graph, Job
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.runner.run import Run
from lake_ci.system.processes import Completed
from lake_ci.workflow.checks import Actionlint, Schema, Sessions, Zizmor

Answering = Callable[..., list[list[str]]]

WORKFLOW = """\
name: ci
on: push
jobs:
  lint:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }}
      - run: echo ${{ matrix.x }}
        wrong: true
  tests:
    needs: [lnt]
    runs-on: ubuntu-24.04
    steps:
      - run: "true"
"""
SCHEMA = """\
{
  "status": "fail",
  "errors": [
    {
      "filename": ".github/workflows/ci.yml",
      "path": "$.jobs.lint",
      "message": "{'runs-on': 'ubuntu-24.04', 'steps': []} is not valid \
under any of the given schemas",
      "has_sub_errors": true,
      "best_match": {
        "path": "$.jobs.lint",
        "message": "'uses' is a required property"
      },
      "best_deep_match": {
        "path": "$.jobs.lint.steps[2]",
        "message": "Additional properties are not allowed ('wrong' was unexpected)"
      },
      "num_sub_errors": 2
    },
    {
      "filename": ".github/workflows/ci.yml",
      "path": "$.jobs.tests",
      "message": "'runs-on' is a required property",
      "has_sub_errors": false
    }
  ],
  "parse_errors": []
}
"""
SCHEMA_PARSE = """\
{
  "status": "fail",
  "errors": [],
  "parse_errors": [
    {
      "filename": ".github/workflows/bad.yml",
      "message": "Failed to parse .github/workflows/bad.yml"
    }
  ]
}
"""
ACTIONLINT = """\
[{"message":"property \\"x\\" is not defined in object type {}",\
"filepath":".github/workflows/ci.yml","line":9,\
"column":23,"kind":"expression","snippet":"      - run: echo ${{ matrix.x }}\\n",\
"end_column":30},\
{"message":"job \\"tests\\" needs job \\"lnt\\" which does not exist in this workflow",\
"filepath":".github/workflows/ci.yml","line":11,"column":3,"kind":"job-needs",\
"snippet":"  tests:","end_column":8}]
"""
ZIZMOR = """\
[{"ident": "artipacked", \
"desc": "credential persistence through GitHub Actions artifacts",
"url": "https://docs.zizmor.sh/audits/#artipacked",
"determinations": {"confidence": "Low", "severity": "Medium", "persona": "Regular"},
"locations": [{"symbolic": {"key": \
{"Local": {"verbatim_path": ".github/workflows/ci.yml"}},
"annotation": "does not set persist-credentials: false",
"route": {"route": [{"Key": "jobs"}, {"Key": "lint"}, {"Key": "steps"}, {"Index": 0}]},
"feature_kind": "Normal", "kind": "Primary"},
"concrete": {"location": {"start_point": {"row": 6, "column": 8}, \
"end_point": {"row": 6, "column": 33},
"offset_span": {"start": 77, "end": 102}}, \
"feature": "uses: actions/checkout@v4", "comments": []}}],
"ignored": false}]
"""
ZIZMOR_FATAL = """\
fatal: no audit was performed
failed to load file://.github/workflows/bad.yml as workflow
"""


@pytest.fixture
def seeded(ctx: CheckContext) -> CheckContext:
    """Return a repository with the workflow that has defects."""
    folder = ctx.root / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ci.yml").write_text(WORKFLOW)
    return ctx


def session(run: Run) -> None:
    """Do it."""


def completed(code: int, stdout: str = "", stderr: str = "") -> Completed:
    return Completed(("tool",), code, stdout, stderr, 0.1)


def graph() -> Graph:
    graph = Graph()
    graph.add(Job("lint", session))
    graph.add(
        Job("tests", session, needs=("lint",), pythons=("3.10",), javas=("11", "17"))
    )
    return graph


def test_schema_errors_are_placed_at_the_deepest_wrong_key(
    seeded: CheckContext, answering: Answering
) -> None:
    answering(completed(1, SCHEMA))
    assert [
        (finding.place, finding.message) for finding in Schema().run(seeded).findings
    ] == [
        (
            ".github/workflows/ci.yml:6",
            (
                "jobs.lint.steps[2]: Additional properties are not allowed "
                "('wrong' was unexpected)"
            ),
        ),
        (".github/workflows/ci.yml:11", "jobs.tests: 'runs-on' is a required property"),
    ]


def test_a_file_that_is_no_yaml_is_a_finding(
    seeded: CheckContext, answering: Answering
) -> None:
    answering(completed(1, SCHEMA_PARSE))
    [finding] = Schema().run(seeded).findings
    assert (finding.place, finding.rule) == (".github/workflows/bad.yml:1", "parse")
    answering(
        completed(
            1, SCHEMA_PARSE.replace("Failed to parse", "did not find ']' at line 7 of")
        )
    )
    assert Schema().run(seeded).findings[0].line == 7


def test_actionlints_objections_have_their_line_and_kind(
    seeded: CheckContext, answering: Answering
) -> None:
    answering(completed(1, ACTIONLINT))
    assert [
        (finding.place, finding.rule) for finding in Actionlint().run(seeded).findings
    ] == [
        (".github/workflows/ci.yml:9", "expression"),
        (".github/workflows/ci.yml:11", "job-needs"),
    ]


def test_zizmors_objections_have_their_line_severity_and_page(
    seeded: CheckContext, answering: Answering
) -> None:
    answering(completed(13, ZIZMOR))
    [finding] = Zizmor().run(seeded).findings
    assert (finding.place, finding.rule) == (".github/workflows/ci.yml:7", "artipacked")
    assert (
        finding.message
        == "credential persistence through GitHub Actions artifacts (medium): "
        "does not set persist-credentials: false; "
        "https://docs.zizmor.sh/audits/#artipacked"
    )


def test_the_declared_jobs_are_handed_to_the_check_of_sessions(
    seeded: CheckContext, answering: Answering
) -> None:
    row = {
        "rule": "needs",
        "message": "no lnt",
        "file": ".github/workflows/ci.yml",
        "line": 12,
    }
    calls = answering(completed(1, json.dumps([row])))
    [finding] = Sessions(graph()).run(seeded).findings
    assert (finding.place, finding.rule, finding.message) == (
        ".github/workflows/ci.yml:12",
        "needs",
        "no lnt",
    )
    assert json.loads(calls[0][-1]) == {
        "lint": {"needs": [], "sessions": ["lint"]},
        "tests": {
            "needs": ["lint"],
            "sessions": ["tests-3.10(java11)", "tests-3.10(java17)"],
        },
    }


@pytest.mark.parametrize(
    ("tool", "clean"),
    [
        (Schema(), '{"status": "ok", "errors": []}'),
        (Actionlint(), "[]"),
        (Zizmor(), "[]"),
        (Sessions(graph()), "[]"),
    ],
)
def test_a_clean_workflow_is_success_and_anything_unknown_a_crash(
    seeded: CheckContext, answering: Answering, tool: CommandCheck, clean: str
) -> None:
    calls = answering(completed(0, clean))
    assert tool.run(seeded).status is Status.SUCCESS
    assert any(".github" in word for word in calls[0])
    for code, stdout, stderr in (
        (1, "", ZIZMOR_FATAL),
        (13, "[{}]", ""),
        (0, "no JSON", ""),
        (1, "[]", ""),
    ):
        answering(completed(code, stdout, stderr))
        outcome = tool.run(seeded)
        assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, "crash")
        assert outcome.findings[0].message.endswith((stderr or stdout).splitlines()[-1])
