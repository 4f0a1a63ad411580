"""All differences between two plans are reported, except allowed differences."""

from __future__ import annotations

from lake_ci.checks.terraform.differences import attributes, differences
from lake_ci.checks.terraform.resources import PlannedResource
from testing.unit.lake_ci.checks.terraform.plans import bucket


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
    assert not list(differences([lake("staging", 7)], [lake("production", 90)], free))
    [(address, name, *values)] = differences(
        [lake("staging", 7, "Disabled")], [lake("production", 90)], free
    )
    assert (address, name) == (
        "aws_s3_bucket_lifecycle_configuration.lake",
        "rule.0.status",
    )
    assert values == ['"Disabled"', '"Enabled"']


def test_a_resource_that_only_one_of_both_has_is_a_difference() -> None:
    [(address, name, *values)] = differences(bucket(), bucket()[:-1], [])
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
    assert not list(differences([planned], [there], []))
    assert [
        row[1]
        for row in differences(
            [PlannedResource("aws_kms_key.a", "aws_kms_key", {})], [there], []
        )
    ] == [
        "arn",
        "tags.0.id",
    ]


def test_an_attribute_that_only_the_apply_tells_is_an_attribute() -> None:
    row = PlannedResource("aws_x.a", "aws_x", {"name": "a"}, {"id": True})
    assert set(attributes([row])) == {"aws_x.name", "aws_x.id"}
