"""Checks code and plans with checkov, and plans with the project's own rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lake_ci.checks.setting_patterns import unmatched_patterns
from lake_ci.checks.terraform import hcl
from lake_ci.checks.terraform.code import FOLDER, isolated
from lake_ci.checks.terraform.plan import EnvironmentPlan
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext, crashed, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

DOCUMENT = "aws_iam_policy_document"
POLICIES = ("policy", "assume_role_policy")
# Staging must be equal to production, because a change is tried in staging first and
# must have the same effect in production.
ALIKE = ("staging", "production")
TABLE = "tool.lake_ci.terraform"
CLIENT_KEY = "s3:x-amz-server-side-encryption-customer-algorithm"


def made(plans: Sequence[EnvironmentPlan]) -> dict[str, Path]:
    """Wait until all plans are made or have failed; return the folders of the plans."""
    folders = {plan.environment: plan.folder.result() for plan in plans}
    return {
        environment: folder
        for environment, folder in folders.items()
        if folder is not None
    }


class Checkov(Check):
    """Check the code and each plan with checkov's rules for AWS.

    checkov starts when the plans are made. In the minute in which the plans are
    applied, the machine has little other work.
    """

    name = "checkov"

    def __init__(self, plans: Sequence[EnvironmentPlan]) -> None:
        self.plans = plans

    def run(self, ctx: CheckContext) -> Outcome:
        made(self.plans)
        reports = []
        for kind, arguments in self.scans(ctx):
            rows = self._scan(ctx, kind, arguments)
            if isinstance(rows, Outcome):
                return rows
            reports += rows
        write_whole(ctx.reports / "checkov.json", json.dumps(reports, indent=1))
        passed = sum(row["summary"]["passed"] for row in reports if "summary" in row)
        found = [finding for row in reports for finding in self.findings(row, ctx)]
        return Outcome.of(dict.fromkeys(found), clean=f"{passed} passed")

    def _scan(
        self, ctx: CheckContext, kind: str, arguments: Sequence[str]
    ) -> list[dict[str, Any]] | Outcome:
        """Return checkov's reports for one framework, or a failure."""
        quiet = ["--skip-download", "--quiet", "--compact", "--output", "json"]
        done = ctx.execute(
            [ctx.bin("checkov"), *quiet, "--framework", kind, *arguments],
            env=isolated(ctx, "checkov"),
        )
        if done.code not in (0, 1):
            return stopped_or_crashed(self.name, done)
        try:
            rows = _reports(done)
        except ValueError as error:
            return crashed(self.name, done, f"printed unexpected output: {error}")
        checked = sum(
            row["summary"]["passed"] + row["summary"]["failed"]
            for row in rows
            if "summary" in row
        )
        return (
            rows if checked else crashed(self.name, done, f"checked nothing of {kind}")
        )

    def scans(self, ctx: CheckContext) -> Iterator[tuple[str, list[str]]]:
        """Yield the targets of checkov in order: the code, then the plans."""
        yield "terraform", ["--directory", FOLDER]
        files = [str(folder / "plan.json") for folder in made(self.plans).values()]
        if files:
            each = [argument for file in files for argument in ("--file", file)]
            yield "terraform_plan", [*each, "--repo-root-for-plan-enrichment", FOLDER]

    def findings(
        self, report: Mapping[str, Any], ctx: CheckContext
    ) -> Iterator[Finding]:
        """Yield the findings of a report, each with the line of its resource."""
        results = report.get("results", {})
        for file in results.get("parsing_errors", ()):
            yield Finding(
                self.name, "parse", "checkov cannot read the file", ctx.relative(file)
            )
        for row in results.get("failed_checks", ()):
            message = f"{row['resource']}: {row['check_name']}"
            block = hcl.locate(ctx.root, FOLDER, row["resource"])
            file, line = (
                f"{FOLDER}/{row['file_path'].lstrip('/')}",
                row["file_line_range"][0],
            )
            where = (block.file, block.line) if block else (file, line)
            yield Finding(self.name, row["check_id"], message, *where)


def _reports(done: Completed) -> list[dict[str, Any]]:
    """Return checkov's reports.

    checkov prints a list of reports, a single report, or only counts if there is
    nothing to report.
    """
    body = json.loads(done.stdout)
    rows = body if isinstance(body, list) else [body]
    return [row if "summary" in row else {"summary": row} for row in rows]


@dataclass(frozen=True)
class PlannedResource:
    """A resource or data source in a plan.

    If a value is known only after the apply, it is missing in `values` and true in
    `unknown`.
    """

    address: str
    type: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, path: str) -> bool:
        """Return whether a value is known; an unset value is known, too."""
        at: Any = self.unknown
        for name in path.split("."):
            if isinstance(at, list):
                at = at[int(name)] if int(name) < len(at) else False
            elif isinstance(at, Mapping):
                at = at.get(name, False)
        return at is not True


class Policy(Check):
    """Rules for every environment, and for differences between staging and production.

    No bucket is public. Every bucket is encrypted and versioned. No statement allows a
    wildcard of actions. No bucket can be destroyed together with its objects. Every
    bucket refuses keys of clients, and every layer has a lifecycle rule.

    checkov has no such rules, or misses some cases. It connects a bucket with its
    encryption or policy by references in the code, not by the bucket's future name. The
    lake's buckets skip checkov's rule that a bucket declares its encryption. checkov
    accepts `s3:*` on a named resource, and everybody as a principal of the type `*`.
    Only checkov checks the flags of a public access block and the rotation of keys.
    """

    name = "policy"

    def __init__(self, plans: Sequence[EnvironmentPlan]) -> None:
        self.plans = plans

    def run(self, ctx: CheckContext) -> Outcome:
        plans = {
            environment: list(
                resources(
                    json.loads((folder / "plan.json").read_text(encoding="utf-8"))
                )
            )
            for environment, folder in made(self.plans).items()
        }
        if not plans:
            return Outcome(Status.SKIPPED, "no plan was made")
        found: dict[Finding, list[str]] = {}
        layers = read_settings(ctx.root).terraform.layers
        for environment, rows in plans.items():
            for rule, address, text, message in (
                *objections(rows),
                *missing_layers(rows, layers),
            ):
                finding = self.finding(ctx, rule, address, text, message)
                found.setdefault(finding, []).append(environment)
        if all(environment in plans for environment in ALIKE):
            differing = self.differing(ctx, *(plans[name] for name in ALIKE))
            found.update((finding, list(ALIKE)) for finding in differing)
        return Outcome.of(
            found, clean=f"{count(len(plans), 'plan')}, {count(len(RULES), 'rule')}"
        )

    def differing(
        self,
        ctx: CheckContext,
        staging: Sequence[PlannedResource],
        production: Sequence[PlannedResource],
    ) -> Iterator[Finding]:
        """Yield a finding for each attribute that differs but is not in `may_differ`.

        In addition, yield a finding for each pattern of `may_differ` that matches no
        attribute.
        """
        may_differ = read_settings(ctx.root).terraform.may_differ
        for address, attribute, one, two in differences(
            staging, production, may_differ
        ):
            message = (
                f"{address}: {attribute} is {one} in staging and {two} in production"
            )
            name = attribute.split(".")[0]
            yield self.finding(ctx, "differs", address, name, message)
        paths = set(attributes([*staging, *production]))
        yield from unmatched_patterns(
            self.name, ctx.root, TABLE, may_differ, paths, "attribute"
        )

    def finding(
        self, ctx: CheckContext, rule: str, address: str, text: str, message: str
    ) -> Finding:
        """Return a finding at the line of the resource's block that contains a text."""
        block = hcl.locate(ctx.root, FOLDER, address)
        return Finding(
            self.name,
            rule,
            message,
            block.file if block else FOLDER,
            block.line_of(text) if block else None,
        )


def resources(plan: Mapping[str, Any]) -> Iterator[PlannedResource]:
    """Yield all resources and data sources in a plan.

    These are the data sources that the plan has read or will read during the apply, and
    the planned resources.
    """
    roots = [
        plan.get("prior_state", {}).get("values", {}).get("root_module", {}),
        plan.get("planned_values", {}).get("root_module", {}),
    ]
    rows = {
        row["address"]: row.get("values") or {} for root in roots for row in _rows(root)
    }
    unknown = {}
    for row in plan.get("resource_changes", ()):
        unknown[row["address"]] = row["change"].get("after_unknown") or {}
        if row["mode"] == "data":
            rows[row["address"]] = row["change"]["after"] or {}
        elif row["change"]["actions"] == ["delete"]:
            rows.pop(row["address"], None)
    for address in sorted(rows):
        name = hcl.INDEX.sub("", address).split(".")
        yield PlannedResource(
            address, name[-2], rows[address], unknown.get(address, {})
        )


def _rows(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _rows(child)


def objections(rows: Sequence[PlannedResource]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the violations of the rules.

    Each violation has the rule, the address, a text in the block, and the message.
    """
    for rule in RULES:
        for address, text, message in rule(rows):
            yield rule.__name__.replace("_", "-"), address, text, message


Objections = Iterator[tuple[str, str, str]]


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
    for row, statement in _allowed(rows):
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
    """Yield the buckets that lose objects when they are overwritten."""
    for bucket, versioning in _companions(rows, "aws_s3_bucket_versioning"):
        settings = (
            versioning.values.get("versioning_configuration") if versioning else None
        )
        if not settings or settings[0].get("status") != "Enabled":
            row = versioning or bucket
            yield row.address, "status", f"{row.address}: versioning is not enabled"


def wildcard_action(rows: Sequence[PlannedResource]) -> Objections:
    """Yield the statements that allow actions by a wildcard."""
    for row, statement in _allowed(rows):
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
    """Yield the buckets without a statement that denies keys of clients (SSE-C).

    The name of a bucket in a policy is known only after the apply, so a statement
    counts for the buckets of its module.
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
    """Return whether a statement denies objects with keys of clients."""
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
    """Yield each layer of the lake whose old versions no lifecycle rule expires."""
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
    """Yield each bucket with the resource of a given type that belongs to it.

    The resource is found by the bucket's name, which is known before the bucket is
    created.
    """
    by_name = {row.values.get("bucket"): row for row in rows if row.type == type_}
    for row in rows:
        if row.type == "aws_s3_bucket":
            yield row, by_name.get(row.values.get("bucket"))


def _allowed(
    rows: Sequence[PlannedResource],
) -> Iterator[tuple[PlannedResource, Mapping[str, Any]]]:
    """Yield each policy statement with the effect `Allow`."""
    return _statements(rows, "Allow")


def _statements(
    rows: Sequence[PlannedResource], effect: str
) -> Iterator[tuple[PlannedResource, Mapping[str, Any]]]:
    """Yield each policy statement with an effect.

    The statements come from policy documents, and from policies without a policy
    document.
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


def environment_free(text: str) -> str:
    """Return a text without the name and the account of its environment."""
    return re.sub(
        r"\b(?:staging|production)\b",
        "<environment>",
        re.sub(r"\b\d{12}\b", "<account>", text),
    )


def differences(
    one: Iterable[PlannedResource], two: Iterable[PlannedResource], free: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the differences between two plans that are not allowed.

    Each difference has the address, the attribute, and both values.
    """
    first, second = (
        {environment_free(row.address): row for row in rows} for rows in (one, two)
    )
    for address in sorted(first.keys() | second.keys()):
        if address not in first or address not in second:
            words = (
                ("there", "not there") if address in first else ("not there", "there")
            )
            yield (first | second)[address].address, "the resource", *words
            continue
        pair = first[address], second[address]
        for name, left, right in _unequal_values(*pair):
            path = f"{pair[0].type}.{name}"
            if not any(fnmatchcase(path, pattern) for pattern in free):
                yield pair[0].address, name, left, right


def attributes(rows: Iterable[PlannedResource]) -> Iterator[str]:
    """Yield the name of each attribute of these resources as `type.path`.

    The result includes attributes whose value is known only after the apply.
    """
    for row in rows:
        for values in (row.values, row.unknown):
            yield from (f"{row.type}.{path}" for path, _ in _flat(values))


def _unequal_values(
    one: PlannedResource, two: PlannedResource
) -> Iterator[tuple[str, str, str]]:
    """Yield the attributes whose known values differ, with both values."""
    first, second = dict(_flat(one.values)), dict(_flat(two.values))
    for name in sorted(first.keys() | second.keys()):
        left, right = first.get(name, "not set"), second.get(name, "not set")
        if left != right and one.knows(name) and two.knows(name):
            yield name, left, right


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each scalar inside a value with its path, such as `rule.0.id`."""
    if isinstance(value, (Mapping, list)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _flat(each, f"{path}.{name}".removeprefix("."))
    else:
        yield path, environment_free(json.dumps(value))
