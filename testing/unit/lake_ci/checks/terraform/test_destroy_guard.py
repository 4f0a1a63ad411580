"""Tests that the check finds buckets and keys that no destroy guard protects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.terraform import destroy_guard
from lake_ci.checks.terraform.policy import Policy
from lake_ci.runner.check import CheckContext
from testing.unit.lake_ci.checks.terraform.plans import bucket, planned

GUARD = "terraform_data.guard[0]"
LAKE = "module.lake.aws_s3_bucket.this"
KEY = "aws_kms_key.lake"
MAIN = """\
module "lake" {
  source = "./modules/bucket"
}

resource "aws_kms_key" "lake" {
}

resource "terraform_data" "guard" {
  triggers_replace = []

  lifecycle {
    prevent_destroy = true
  }
}
"""


@pytest.fixture
def guarded(ctx: CheckContext) -> Path:
    """Return a repository with a destroy guard, a key, and a bucket in a module."""
    folder = ctx.root / "terraform"
    (folder / "main.tf").write_text(MAIN)
    (folder / "modules" / "bucket").mkdir(parents=True)
    (folder / "modules" / "bucket" / "main.tf").write_text(
        'resource "aws_s3_bucket" "this" {\n}\n'
    )
    return ctx.root


def plan(*references: str, argument: str = "triggers_replace") -> dict[str, Any]:
    """Return a plan of a destroy guard, a key and a bucket."""
    arn = {"expression": {"references": ["aws_s3_bucket.this.arn"]}}
    name = {"expression": {"references": ["aws_s3_bucket.this.bucket"]}}
    guard = {
        "address": "terraform_data.guard",
        "type": "terraform_data",
        "expressions": {argument: {"references": list(references)}},
    }
    lake = {"module": {"outputs": {"arn": arn, "name": name}}}
    configuration = {"resources": [guard], "module_calls": {"lake": lake}}
    root = {
        "resources": [
            {"address": GUARD},
            {"address": KEY},
            {"address": "data.aws_s3_bucket.other"},
        ],
        "child_modules": [{"resources": [{"address": LAKE}]}],
    }
    return {
        "planned_values": {"root_module": root},
        "configuration": {"root_module": configuration},
    }


def unguarded(root: Path, *references: str, **more: str) -> list[str]:
    return list(destroy_guard.unguarded(root, plan(*references, **more)))


def test_guard_protects_resources_whose_arns_it_depends_on(guarded: Path) -> None:
    both = ["aws_kms_key.lake.arn", "aws_kms_key.lake", "module.lake.arn"]
    assert unguarded(guarded, *both) == []
    assert unguarded(guarded, "aws_kms_key.lake.id") == [LAKE]
    assert unguarded(guarded, "module.lake.arn", "module.lake") == [KEY]
    assert unguarded(guarded) == [KEY, LAKE]


def test_guard_by_a_known_name_or_by_input_protects_nothing(guarded: Path) -> None:
    # A replaced bucket gets its old name again, so the guard would not be replaced.
    assert unguarded(guarded, KEY + ".arn", "module.lake.name") == [LAKE]
    both = ["aws_kms_key.lake.arn", "module.lake.arn"]
    assert unguarded(guarded, *both, argument="input") == [KEY, LAKE]


def test_guard_without_prevent_destroy_protects_nothing(guarded: Path) -> None:
    (guarded / "terraform" / "main.tf").write_text(MAIN.replace("= true", "= false"))
    both = ["aws_kms_key.lake.arn", "module.lake.arn"]
    assert unguarded(guarded, *both) == [KEY, LAKE]
    assert destroy_guard.guards(guarded, plan(*both)) == []


def test_resource_with_prevent_destroy_needs_no_guard(guarded: Path) -> None:
    (guarded / "terraform" / "modules" / "bucket" / "main.tf").write_text(
        'resource "aws_s3_bucket" "this" {\n  lifecycle {\n'
        "    prevent_destroy = true\n  }\n}\n"
    )
    assert unguarded(guarded, "aws_kms_key.lake.arn") == []
    assert destroy_guard.guards(guarded, plan()) == [LAKE, GUARD]


def test_policy_reports_unguarded_buckets_of_production_only(
    ctx: CheckContext,
) -> None:
    rows = [{"address": row.address, "values": row.values} for row in bucket()]
    plans = [planned(ctx, name, rows) for name in ("staging", "production")]
    [found] = Policy(plans).run(ctx).findings
    assert (found.rule, found.file, found.line) == (
        "destroy-guard",
        "terraform/main.tf",
        1,
    )
    assert Policy(plans[:1]).run(ctx).findings == ()
