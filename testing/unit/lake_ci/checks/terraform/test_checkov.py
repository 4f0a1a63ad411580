"""checkov's findings name files and lines of the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lake_ci.checks.terraform.checkov import Checkov
from lake_ci.model.results import Finding
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed
from testing.unit.lake_ci.checks.terraform.plans import planned

Answering = Callable[..., list[list[str]]]


def report(
    failed: list[dict[str, Any]], passed: int = 3, **results: Any
) -> dict[str, Any]:
    summary = {"passed": passed, "failed": len(failed)}
    return {"summary": summary, "results": {"failed_checks": failed, **results}}


FAILED = {
    "check_id": "CKV_AWS_53",
    "check_name": "Ensure S3 bucket has block public ACLS enabled",
    "resource": "aws_s3_bucket_public_access_block.lake",
    "file_path": "/elsewhere.tf",
    "file_line_range": [1, 2],
}


def test_checkov_on_code_and_plans_says_a_thing_once_at_the_block(
    ctx: CheckContext, answering: Answering
) -> None:
    done = Completed((), 1, json.dumps([report([FAILED])]), "", 1.0)
    calls = answering(done)
    outcome = Checkov([planned(ctx, "dev", []), planned(ctx, "trial", [])]).run(ctx)
    message = (
        "aws_s3_bucket_public_access_block.lake: Ensure S3 bucket has block public ACLS"
        " enabled"
    )
    assert outcome.findings == (
        Finding("checkov", "CKV_AWS_53", message, "terraform/main.tf", 5),
    )
    assert [call.count("--file") for call in calls] == [0, 2]
    assert len(json.loads((ctx.reports / "checkov.json").read_text())) == 2


def test_checkov_without_plans_looks_at_the_code_alone(
    ctx: CheckContext, answering: Answering
) -> None:
    calls = answering(Completed((), 0, json.dumps(report([])), "", 1.0))
    assert Checkov([planned(ctx, "dev", None)]).run(ctx).detail == "3 passed"
    assert len(calls) == 1


def test_a_file_that_checkov_cannot_read_is_a_finding(
    ctx: CheckContext, answering: Answering
) -> None:
    body = report([], parsing_errors=["terraform/main.tf"])
    answering(Completed((), 0, json.dumps(body), "", 1.0))
    [found] = Checkov([]).run(ctx).findings
    assert (found.rule, found.file) == ("parse", "terraform/main.tf")


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (
            Completed((), 0, '{"passed": 0, "failed": 0}', "", 1.0),
            "checked nothing of terraform",
        ),
        (
            Completed((), 0, '[{"summary', "", 1.0),
            "checkov ",
        ),
        (Completed((), 2, "", "usage: checkov", 1.0), " 2"),
    ],
)
def test_a_checkov_that_did_not_check_is_a_crash_and_leaves_no_report(
    ctx: CheckContext, answering: Answering, done: Completed, words: str
) -> None:
    answering(done)
    outcome = Checkov([]).run(ctx)
    assert outcome.findings[0].rule == "crash"
    assert words in outcome.detail
    assert not (ctx.reports / "checkov.json").exists()
