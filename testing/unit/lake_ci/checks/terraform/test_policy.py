"""Policy: checkov's findings at the lines of the project, and the project's rules for
planned resources.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.terraform import policy
from lake_ci.checks.terraform.code import Code
from lake_ci.checks.terraform.plan import EnvironmentPlan
from lake_ci.checks.terraform.policy import (
    CLIENT_KEY,
    Checkov,
    PlannedResource,
    Policy,
)
from lake_ci.model.results import Finding, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
MAIN = """\
resource "aws_s3_bucket" "lake" {
  bucket = "lake"
}

resource "aws_s3_bucket_public_access_block" "lake" {
  bucket                  = aws_s3_bucket.lake.bucket
  block_public_acls       = true
  block_public_policy     = false
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "access" {
  statement {
    actions = [
      "s3:GetObject",
      "s3:*",
    ]
  }
}

resource "aws_s3_bucket_versioning" "lake" {
  bucket = aws_s3_bucket.lake.bucket

  versioning_configuration {
    status = "Suspended"
  }
}
"""
VERSIONED = {"versioning_configuration": [{"status": "Enabled"}]}
SUSPENDED = {"versioning_configuration": [{"status": "Suspended"}]}


def bucket(name: str = "production", **types: dict[str, Any]) -> list[PlannedResource]:
    """Return a bucket with all required resources, some of which may be replaced."""
    companions: dict[str, dict[str, Any]] = {
        "public_access_block": {},
        "server_side_encryption_configuration": {"rule": [{}]},
        "versioning": VERSIONED,
    }
    rows = [
        PlannedResource(
            "aws_s3_bucket.lake", "aws_s3_bucket", {"bucket": f"lake-{name}"}
        )
    ]
    for suffix, values in (companions | types).items():
        kind = f"aws_s3_bucket_{suffix}"
        rows.append(
            PlannedResource(f"{kind}.lake", kind, {"bucket": f"lake-{name}"} | values)
        )
    rows.insert(2, denied(CLIENT_KEY))
    return rows


def denied(variable: str, address: str = "") -> PlannedResource:
    """Return a document that denies writes of objects with a header."""
    condition = {"test": "Null", "variable": variable, "values": ["false"]}
    row = document(effect="Deny", actions=["s3:PutObject"], condition=[condition])
    name = f"{address}data.aws_iam_policy_document.denied"
    return PlannedResource(name, row.type, row.values)


def document(**statement: Any) -> PlannedResource:
    address = "data.aws_iam_policy_document.access"
    return PlannedResource(
        address, "aws_iam_policy_document", {"statement": [statement]}
    )


def written(statement: dict[str, Any], name: str = "policy") -> PlannedResource:
    values = {name: json.dumps({"Statement": statement})}
    return PlannedResource("aws_iam_role_policy.lake", "aws_iam_role_policy", values)


def test_a_bucket_with_all_it_has_to_have_is_fine() -> None:
    assert list(policy.objections(bucket())) == []


@pytest.mark.parametrize(
    ("rows", "rule", "address"),
    [
        (bucket()[:1] + bucket()[2:], "public-bucket", "aws_s3_bucket.lake"),
        (bucket(acl={"acl": "public-read"}), "public-bucket", "aws_s3_bucket_acl.lake"),
        (
            [
                document(
                    effect=None,
                    actions=["s3:GetObject"],
                    principals=[{"identifiers": ["*"]}],
                    condition=[],
                )
            ],
            "public-bucket",
            "data.aws_iam_policy_document.access",
        ),
        (
            [
                written(
                    {
                        "Effect": "Allow",
                        "Action": "s3:GetObject",
                        "Principal": {"AWS": "*"},
                    }
                )
            ],
            "public-bucket",
            "aws_iam_role_policy.lake",
        ),
        (
            bucket(server_side_encryption_configuration={"rule": []}),
            "unencrypted-bucket",
            "aws_s3_bucket.lake",
        ),
        (
            bucket(versioning=SUSPENDED),
            "unversioned-bucket",
            "aws_s3_bucket_versioning.lake",
        ),
        (
            [document(actions=["s3:*"])],
            "wildcard-action",
            "data.aws_iam_policy_document.access",
        ),
        (
            [written({"Effect": "Allow", "Action": "*"})],
            "wildcard-action",
            "aws_iam_role_policy.lake",
        ),
        (
            [PlannedResource("aws_ecr.a", "aws_ecr", {"force_destroy": True})],
            "force-destroy",
            "aws_ecr.a",
        ),
    ],
)
def test_each_rule_names_what_it_objects_to(
    rows: list[PlannedResource], rule: str, address: str
) -> None:
    found = [(row[0], row[1]) for row in policy.objections(rows)]
    assert found == [(rule, address)]


@pytest.mark.parametrize(
    ("policies", "safe"),
    [
        ([denied(CLIENT_KEY)], True),
        ([denied(CLIENT_KEY, "module.logs.")], False),
        ([denied("s3:x-amz-server-side-encryption")], False),
        (
            [
                document(
                    actions=["s3:PutObject"],
                    condition=[
                        {"test": "Null", "variable": CLIENT_KEY, "values": ["false"]}
                    ],
                )
            ],
            False,
        ),
        (
            [
                written(
                    {
                        "Effect": "Deny",
                        "Action": ["s3:*"],
                        "Condition": {"Null": {CLIENT_KEY: "false"}},
                    }
                )
            ],
            True,
        ),
    ],
)
def test_a_bucket_refuses_keys_of_clients_in_its_own_module(
    policies: list[PlannedResource], safe: bool
) -> None:
    rows = [row for row in bucket() if row != denied(CLIENT_KEY)]
    found = [(row[0], row[1]) for row in policy.objections([*rows, *policies])]
    assert found == ([] if safe else [("client-key", "aws_s3_bucket.lake")])


def test_a_layer_without_a_lifecycle_rule_is_named() -> None:
    kind = "aws_s3_bucket_lifecycle_configuration"
    rule = {
        "filter": [{"prefix": "gold/"}],
        "noncurrent_version_expiration": [{"noncurrent_days": 7}],
    }
    unused = {**rule, "filter": [{"prefix": "silver/"}]} | {
        "noncurrent_version_expiration": []
    }
    row = PlannedResource(f"{kind}.lake", kind, {"rule": [rule, unused]})
    found = policy.missing_layers([row], ["gold", "silver"])
    assert [
        (name, address, text.split(":")[0]) for name, address, _, text in found
    ] == [("layer", row.address, "silver")]


@pytest.mark.parametrize(
    "row",
    [
        document(effect="Deny", actions=["s3:*"], principals=[{"identifiers": ["*"]}]),
        document(
            actions=["s3:GetObject"],
            principals=[{"identifiers": ["*"]}],
            condition=[{"test": "Bool"}],
        ),
        written({"Effect": "Deny", "Action": "*", "Principal": "*"}),
    ],
)
def test_what_is_denied_or_narrowed_is_no_objection(row: PlannedResource) -> None:
    assert list(policy.objections([row])) == []


def test_a_document_and_the_policy_made_of_it_are_one_objection() -> None:
    row = written({"Effect": "Allow", "Action": "s3:*"})
    source = document(actions=["s3:*"])
    made = PlannedResource(
        source.address, source.type, {**source.values, "json": row.values["policy"]}
    )
    assert [each[1] for each in policy.objections([made, row])] == [made.address]


def test_only_names_accounts_and_listed_attributes_may_differ() -> None:
    def lake(name: str, days: int, status: str = "Enabled") -> PlannedResource:
        values = {
            "bucket": f"lake-{name}-{len(name):012}",
            "rule": [{"days": days, "status": status}],
        }
        return PlannedResource(
            "aws_s3_bucket_lifecycle_configuration.lake", "lifecycle", values
        )

    free = ["lifecycle.rule.*.days"]
    assert not list(
        policy.differences([lake("staging", 7)], [lake("production", 90)], free)
    )
    [(address, name, *values)] = policy.differences(
        [lake("staging", 7, "Disabled")], [lake("production", 90)], free
    )
    assert (address, name) == (
        "aws_s3_bucket_lifecycle_configuration.lake",
        "rule.0.status",
    )
    assert values == ['"Disabled"', '"Enabled"']


def test_a_resource_that_only_one_of_both_has_is_a_difference() -> None:
    [(address, name, *values)] = policy.differences(bucket(), bucket()[:-1], [])
    assert address == "aws_s3_bucket_versioning.lake"
    assert (name, *values) == ("the resource", "there", "not there")


def test_what_one_of_both_does_not_know_yet_is_no_difference() -> None:
    planned = PlannedResource(
        "aws_kms_key.a",
        "aws_kms_key",
        {"tags": [{}]},
        {"arn": True, "tags": [{"id": True}]},
    )
    there = PlannedResource(
        "aws_kms_key.a", "aws_kms_key", {"arn": "arn:key", "tags": [{"id": "1"}]}
    )
    assert not list(policy.differences([planned], [there], []))
    assert [
        row[1]
        for row in policy.differences(
            [PlannedResource("aws_kms_key.a", "aws_kms_key", {})], [there], []
        )
    ] == [
        "arn",
        "tags.0.id",
    ]


def test_a_plan_is_read_whole() -> None:
    change = {"actions": ["create"], "after": {"a": 1}, "after_unknown": {"arn": True}}
    plan = {
        "prior_state": {
            "values": {
                "root_module": {"resources": [{"address": "data.x.read", "values": {}}]}
            }
        },
        "planned_values": {
            "root_module": {
                "child_modules": [
                    {
                        "resources": [
                            {"address": "module.m.aws_kms_key.k[0]", "values": {"a": 1}}
                        ]
                    }
                ],
                "resources": [{"address": "aws_iam_role.unknown"}],
            }
        },
        "resource_changes": [
            {
                "address": "module.m.aws_kms_key.k[0]",
                "mode": "managed",
                "change": change,
            },
            {
                "address": "module.m.data.x.later",
                "mode": "data",
                "change": {"actions": ["read"], "after": {"b": 2}},
            },
            {
                "address": "gone.gone",
                "mode": "managed",
                "change": {"actions": ["delete"], "after": None},
            },
        ],
    }
    rows = {row.address: row for row in policy.resources(plan)}
    assert sorted(rows) == [
        "aws_iam_role.unknown",
        "data.x.read",
        "module.m.aws_kms_key.k[0]",
        "module.m.data.x.later",
    ]
    assert rows["module.m.aws_kms_key.k[0]"].type == "aws_kms_key"
    assert not rows["module.m.aws_kms_key.k[0]"].knows("arn")
    assert rows["module.m.data.x.later"].values == {"b": 2}


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    (ctx.root / "terraform").mkdir()
    (ctx.root / "terraform" / "main.tf").write_text(MAIN)
    (ctx.root / "pyproject.toml").write_text(
        "[tool.lake_ci.terraform]\nmay_differ = []\n"
    )
    return ctx


def planned(
    ctx: CheckContext, environment: str, rows: list[dict[str, Any]] | None
) -> EnvironmentPlan:
    """Return a plan that succeeded or failed."""
    plan = EnvironmentPlan(Code(), environment, None)
    plan.folder = Future()
    folder: Path | None = None
    if rows is not None:
        folder = ctx.reports / environment
        folder.mkdir()
        body = {"planned_values": {"root_module": {"resources": rows}}}
        (folder / "plan.json").write_text(json.dumps(body))
    plan.folder.set_result(folder)
    return plan


def test_a_finding_of_several_environments_is_one_at_the_line_that_says_so(
    ctx: CheckContext,
) -> None:
    declared = bucket(versioning=SUSPENDED)
    rows = [{"address": row.address, "values": row.values} for row in declared]
    rows.append(
        {
            "address": "data.aws_iam_policy_document.access",
            "values": {"statement": [{"actions": ["s3:*"]}]},
        }
    )
    plans = [planned(ctx, name, rows) for name in ("staging", "production")]
    outcome = Policy(plans).run(ctx)
    assert {(each.rule, each.file, each.line) for each in outcome.findings} == {
        ("unversioned-bucket", "terraform/main.tf", 26),
        ("wildcard-action", "terraform/main.tf", 17),
    }
    assert len(outcome.findings) == 2


def test_a_pattern_of_what_may_differ_that_matches_nothing_is_found(
    ctx: CheckContext,
) -> None:
    patterns = '["aws_s3_bucket.bucket",\n"aws_s3_bucket.bukcet"]'
    (ctx.root / "pyproject.toml").write_text(
        f"[tool.lake_ci.terraform]\nmay_differ = {patterns}\n"
    )
    rows = [{"address": "aws_s3_bucket.lake", "values": {"bucket": "lake"}}]
    plans = [planned(ctx, name, rows) for name in ("staging", "production")]
    found = {
        (each.rule, each.file, each.line): each.message
        for each in Policy(plans).run(ctx).findings
    }
    message = found["unmatched", "pyproject.toml", 3]
    assert message == "may_differ: no attribute matches 'aws_s3_bucket.bukcet'"
    assert [rule for rule, *_ in found].count("unmatched") == 1


def test_an_attribute_that_only_the_apply_tells_is_an_attribute() -> None:
    row = policy.PlannedResource("aws_x.a", "aws_x", {"name": "a"}, {"id": True})
    assert set(policy.attributes([row])) == {"aws_x.name", "aws_x.id"}


def test_staging_and_production_are_compared_and_the_difference_is_named(
    ctx: CheckContext,
) -> None:
    plans = [
        planned(
            ctx,
            name,
            [
                {
                    "address": "aws_s3_bucket.lake",
                    "values": {"tags": {"a": name[:2]}, "bucket": None},
                }
            ],
        )
        for name in ("staging", "production")
    ]
    found = [each for each in Policy(plans).run(ctx).findings if each.rule == "differs"]
    assert [(each.file, each.line) for each in found] == [("terraform/main.tf", 1)]
    assert (
        found[0].message
        == 'aws_s3_bucket.lake: tags.a is "st" in staging and "pr" in production'
    )


def test_without_a_plan_the_policy_is_skipped(ctx: CheckContext) -> None:
    outcome = Policy([planned(ctx, "dev", None)]).run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SKIPPED, "no plan was made")


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
