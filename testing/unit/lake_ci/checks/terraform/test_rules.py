"""Each rule finds the resources that violate the rule."""

from __future__ import annotations

import pytest

from lake_ci.checks.terraform.resources import PlannedResource
from lake_ci.checks.terraform.rules import CLIENT_KEY, missing_layers, objections
from testing.unit.lake_ci.checks.terraform.plans import (
    SUSPENDED,
    bucket,
    denied,
    document,
    written,
)


def test_a_bucket_with_all_it_has_to_have_is_fine() -> None:
    assert list(objections(bucket())) == []


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
    found = [(row[0], row[1]) for row in objections(rows)]
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
    found = [(row[0], row[1]) for row in objections([*rows, *policies])]
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
    found = missing_layers([row], ["gold", "silver"])
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
    assert list(objections([row])) == []


def test_a_document_and_the_policy_made_of_it_are_one_objection() -> None:
    row = written({"Effect": "Allow", "Action": "s3:*"})
    source = document(actions=["s3:*"])
    made = PlannedResource(
        source.address, source.type, {**source.values, "json": row.values["policy"]}
    )
    assert [each[1] for each in objections([made, row])] == [made.address]
