"""Planned resources and plans for the tests."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from lake_ci.checks.terraform.code import Code
from lake_ci.checks.terraform.plan import EnvironmentPlan
from lake_ci.checks.terraform.resources import PlannedResource
from lake_ci.checks.terraform.rules import CLIENT_KEY
from lake_ci.runner.check import CheckContext

VERSIONED = {"versioning_configuration": [{"status": "Enabled"}]}
SUSPENDED = {"versioning_configuration": [{"status": "Suspended"}]}


def bucket(name: str = "production", **types: dict[str, Any]) -> list[PlannedResource]:
    """Return a bucket and the resources it requires; `types` replaces some of them."""
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
    """Return a policy document that denies uploads whose request has a given header."""
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


def planned(
    ctx: CheckContext, environment: str, rows: list[dict[str, Any]] | None
) -> EnvironmentPlan:
    """Return the plan of an environment; if `rows` is None, the plan has failed."""
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
