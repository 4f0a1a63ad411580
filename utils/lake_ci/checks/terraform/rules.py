"""Defines the project's own rules for the planned resources of an environment.

For each of these rules, checkov has no rule, or its rule misses some cases. checkov
finds the encryption or the policy of a bucket only by references in the code, and not
by the name that the bucket will have. checkov's rule that a bucket must declare its
encryption is disabled for the lake's buckets. checkov accepts `s3:*` on a named
resource, and a principal of the type `*`, which is everybody. Only checkov checks the
flags of a public access block and the rotation of keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lake_ci.checks.terraform.resources import PlannedResource

DOCUMENT = "aws_iam_policy_document"
POLICIES = ("policy", "assume_role_policy")
TABLE = "tool.lake_ci.terraform"
CLIENT_KEY = "s3:x-amz-server-side-encryption-customer-algorithm"
Objections = Iterator[tuple[str, str, str]]


def objections(
    rows: Sequence[PlannedResource], layers: Sequence[str] = ()
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the violations of the rules, and the layers without a lifecycle rule.

    Each violation consists of the rule, the address, a text in the block of this
    address, and the message.
    """
    for rule in RULES:
        for address, text, message in rule(rows):
            yield rule.__name__.replace("_", "-"), address, text, message
    yield from missing_layers(rows, layers)


def public_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the buckets that are public or could be made public."""
    for bucket, block in _companions(rows, "aws_s3_bucket_public_access_block"):
        if block is None:
            yield bucket.address, "", f"{bucket.address}: public access is not blocked"
    for row in rows:
        if row.type == "aws_s3_bucket_acl" and str(row.values.get("acl")).startswith(
            "public"
        ):
            yield row.address, "acl", f"{row.address}: the ACL is {row.values['acl']}"
    for row, statement in _statements(rows, "Allow"):
        has_condition = statement.get("condition") or statement.get("Condition")
        if "*" in _principals(statement) and not has_condition:
            yield (
                row.address,
                '"*"',
                f"{row.address}: a statement allows everyone without a condition",
            )


def unencrypted_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the buckets without a declared encryption."""
    for bucket, encryption in _companions(
        rows, "aws_s3_bucket_server_side_encryption_configuration"
    ):
        if encryption is None or not encryption.values.get("rule"):
            yield bucket.address, "", f"{bucket.address}: no encryption is declared"


def unversioned_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the buckets that lose the old content when an object is overwritten."""
    for bucket, versioning in _companions(rows, "aws_s3_bucket_versioning"):
        settings = (
            versioning.values.get("versioning_configuration") if versioning else None
        )
        if not settings or settings[0].get("status") != "Enabled":
            row = versioning or bucket
            yield row.address, "status", f"{row.address}: versioning is not enabled"


def wildcard_action(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the statements that allow actions by a wildcard."""
    for row, statement in _statements(rows, "Allow"):
        for action in _list(statement.get("actions") or statement.get("Action")):
            if "*" in action:
                yield (
                    row.address,
                    f'"{action}"',
                    f"{row.address}: allows {action}; list the actions that are needed",
                )


def force_destroy(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the buckets that can be destroyed together with their objects."""
    for row in rows:
        if row.values.get("force_destroy") is True:
            yield (
                row.address,
                "force_destroy",
                f"{row.address}: force_destroy deletes the bucket with its objects",
            )


def client_key(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the buckets whose policy does not deny encryption keys of clients (SSE-C).

    The bucket that a policy names is known only after the apply. Therefore a policy
    statement counts for all buckets of its module.
    """
    denying = {
        _module(row)
        for row, statement in _statements(rows, "Deny")
        if _denies_client_keys(statement)
    }
    for row in rows:
        if row.type == "aws_s3_bucket" and _module(row) not in denying:
            yield (
                row.address,
                "",
                f"{row.address}: a client can encrypt an object with its own key, which"
                f" nobody else has; deny s3:PutObject with {CLIENT_KEY}",
            )


def _module(row: PlannedResource) -> str:
    """Return the address of a resource's module."""
    parts = row.address.split(".")
    return ".".join(parts[: 2 * parts.count("module")])


def _denies_client_keys(statement: Mapping[str, Any]) -> bool:
    """Return whether a statement denies objects that a client encrypts with its key."""
    actions = _list(statement.get("actions") or statement.get("Action"))
    if not {"s3:PutObject", "s3:*"} & set(actions):
        return False
    conditions = statement.get("condition") or statement.get("Condition") or ()
    if isinstance(conditions, Mapping):  # a policy as JSON
        null = conditions.get("Null", {})
        return len(conditions) == 1 and {
            name: _list(value) for name, value in null.items()
        } in ({CLIENT_KEY: ["false"]}, {CLIENT_KEY: [False]})
    return [
        (each["test"], each["variable"], each["values"]) for each in conditions
    ] == [("Null", CLIENT_KEY, ["false"])]


RULES = (
    client_key,
    public_bucket,
    unencrypted_bucket,
    unversioned_bucket,
    wildcard_action,
    force_destroy,
)


def missing_layers(
    rows: Sequence[PlannedResource], layers: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield each of the lake's layers that lacks a lifecycle rule for old versions."""
    lifecycles = [
        row for row in rows if row.type == "aws_s3_bucket_lifecycle_configuration"
    ]
    prefixes = {
        each["prefix"]
        for row in lifecycles
        for rule in row.values.get("rule") or ()
        if rule.get("noncurrent_version_expiration")
        for each in rule.get("filter") or ()
    }
    for layer in layers:
        if lifecycles and f"{layer}/" not in prefixes:
            address = lifecycles[0].address
            message = (
                f"{layer}: no lifecycle rule has the prefix {layer}/; {TABLE} lists"
                " this layer"
            )
            yield "layer", address, '"rule"', message


def _companions(
    rows: Sequence[PlannedResource], type_: str
) -> Iterator[tuple[PlannedResource, PlannedResource | None]]:
    """Yield each bucket with the bucket's resource of this type, or with None.

    The resource is found by the bucket's name, which is known before the bucket is
    created.
    """
    by_name = {row.values.get("bucket"): row for row in rows if row.type == type_}
    for row in rows:
        if row.type == "aws_s3_bucket":
            yield row, by_name.get(row.values.get("bucket"))


def _statements(
    rows: Sequence[PlannedResource], effect: str
) -> Iterator[tuple[PlannedResource, Mapping[str, Any]]]:
    """Yield each policy statement with this effect.

    The statements come from policy documents, and from JSON policies for which there is
    no policy document.
    """
    for row in rows:
        if row.type == DOCUMENT:
            for statement in row.values.get("statement") or ():
                if (statement.get("effect") or "Allow") == effect:
                    yield row, statement
    for row, text in _own_policies(rows):
        for statement in _list(json.loads(text).get("Statement")):
            if statement.get("Effect") == effect:
                yield row, statement


def _own_policies(
    rows: Sequence[PlannedResource],
) -> Iterator[tuple[PlannedResource, str]]:
    """Yield each resource with a policy that does not come from a policy document."""
    written = {
        _canonical(row.values["json"])
        for row in rows
        if row.type == DOCUMENT and row.values.get("json")
    }
    for row in rows:
        if row.type == DOCUMENT:
            continue
        for name in POLICIES:
            text = row.values.get(name)
            if isinstance(text, str) and _canonical(text) not in written:
                yield row, text


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _principals(statement: Mapping[str, Any]) -> set[str]:
    """Return the principals of a statement in a data source or in JSON."""
    if "principals" in statement:
        return {
            name
            for each in statement["principals"] or ()
            for name in each["identifiers"]
        }
    principal = statement.get("Principal") or {}
    return (
        {principal}
        if isinstance(principal, str)
        else {name for each in principal.values() for name in _list(each)}
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
