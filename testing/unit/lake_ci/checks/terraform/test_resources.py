"""The resources of a plan are those that the plan reads, creates or keeps."""

from __future__ import annotations

from lake_ci.checks.terraform.resources import resources


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
    rows = {row.address: row for row in resources(plan)}
    assert sorted(rows) == [
        "aws_iam_role.unknown",
        "data.x.read",
        "module.m.aws_kms_key.k[0]",
        "module.m.data.x.later",
    ]
    assert rows["module.m.aws_kms_key.k[0]"].type == "aws_kms_key"
    assert not rows["module.m.aws_kms_key.k[0]"].knows("arn")
    assert rows["module.m.data.x.later"].values == {"b": 2}
