"""The policy check reports the lines of the violations in all environments."""

from __future__ import annotations

from lake_ci.checks.terraform.policy import Policy
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from testing.unit.lake_ci.checks.terraform.plans import SUSPENDED, bucket, planned


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
        ("destroy-guard", "terraform/main.tf", 1),
    }
    assert len(outcome.findings) == 3


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
