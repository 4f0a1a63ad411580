"""Policy: checkov on the code and the plans, and our own on what a plan would make of
the lake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lake_ci.checks.terraform import hcl
from lake_ci.checks.terraform.code import FOLDER, isolated
from lake_ci.checks.terraform.plan import EnvironmentPlan
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, crashed, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed
from lake_ci.system.pyproject import setting_line, settings

DOCUMENT = "aws_iam_policy_document"
POLICIES = ("policy", "assume_role_policy")
# Two environments that must be alike: what is tried in the first is what happens in the
# second.
ALIKE = ("staging", "production")
TABLE = "tool.lake_ci.terraform"


def made(plans: Sequence[EnvironmentPlan]) -> dict[str, Path]:
    """The folder of each plan that could be made; waits until that is clear of all of
    them.
    """
    folders = {plan.environment: plan.folder.result() for plan in plans}
    return {
        environment: folder
        for environment, folder in folders.items()
        if folder is not None
    }


class Checkov(Check):
    """checkov's rules for AWS, on the code as it is written and on each plan as it came
    out.

    It waits for the plans: while they are being applied, a minute long, little else is
    to be done.
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
        """The reports of one framework, or why there are none to rely on."""
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
            return crashed(
                self.name, done, f"printed what its reader does not know: {error}"
            )
        checked = sum(
            row["summary"]["passed"] + row["summary"]["failed"]
            for row in rows
            if "summary" in row
        )
        return (
            rows if checked else crashed(self.name, done, f"checked nothing of {kind}")
        )

    def scans(self, ctx: CheckContext) -> Iterator[tuple[str, list[str]]]:
        """What is looked at, one after the other: the code, then the plans."""
        yield "terraform", ["--directory", FOLDER]
        files = [str(folder / "plan.json") for folder in made(self.plans).values()]
        if files:
            each = [argument for file in files for argument in ("--file", file)]
            yield "terraform_plan", [*each, "--repo-root-for-plan-enrichment", FOLDER]

    def findings(
        self, report: Mapping[str, Any], ctx: CheckContext
    ) -> Iterator[Finding]:
        """What one report objects to, at the block that declares the resource."""
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
    """checkov's reports: a list of them, a single one, or only its numbers where there
    is nothing to tell.
    """
    body = json.loads(done.stdout)
    rows = body if isinstance(body, list) else [body]
    return [row if "summary" in row else {"summary": row} for row in rows]


@dataclass(frozen=True)
class PlannedResource:
    """A resource or data source as a plan has it.

    What is known only after the plan is applied is missing in `values`, and true in
    `unknown`.
    """

    address: str
    type: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, path: str) -> bool:
        """Whether a value is known, be it that it is not set."""
        at: Any = self.unknown
        for name in path.split("."):
            if isinstance(at, list):
                at = at[int(name)] if int(name) < len(at) else False
            elif isinstance(at, Mapping):
                at = at.get(name, False)
        return at is not True


class Policy(Check):
    """What holds in every environment, and what never differs between staging and
    production.

    Nothing is public; every bucket is encrypted and keeps versions; nobody is allowed a
    wildcard of actions; nothing that holds data can go with what is in it.

    These are the rules that checkov does not have, or not in every form. It pairs a
    bucket with its companions by how the code refers to it, not by the name that it
    will have; its rule that a bucket declares its encryption is one that the lake's
    buckets skip; it passes `s3:*` on a named resource, and everybody as a principal of
    the type `*`. The flags of a block of public access and the rotation of keys are
    left to it.
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
            return Outcome(Status.SKIPPED, "no plan could be made")
        found: dict[Finding, list[str]] = {}
        for environment, rows in plans.items():
            for rule, address, text, message in objections(rows):
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
        """A finding for each attribute that differs and may not, and for each pattern
        of `may_differ` that matches no attribute.
        """
        may_differ = settings(ctx.root, "terraform")["may_differ"]
        for address, attribute, one, two in differences(
            staging, production, may_differ
        ):
            message = (
                f"{address}: {attribute} is {one} in staging and {two} in production"
            )
            name = attribute.split(".")[0]
            yield self.finding(ctx, "differs", address, name, message)
        paths = set(attributes([*staging, *production]))
        for pattern in may_differ:
            if not any(fnmatchcase(path, pattern) for path in paths):
                line = setting_line(ctx.root, TABLE, pattern)
                message = f"may_differ: no attribute matches {pattern!r}"
                yield Finding(self.name, "unmatched", message, "pyproject.toml", line)

    def finding(
        self, ctx: CheckContext, rule: str, address: str, text: str, message: str
    ) -> Finding:
        """A finding at the line of the resource's block that holds the text."""
        block = hcl.locate(ctx.root, FOLDER, address)
        return Finding(
            self.name,
            rule,
            message,
            block.file if block else FOLDER,
            block.line_of(text) if block else None,
        )


def resources(plan: Mapping[str, Any]) -> Iterator[PlannedResource]:
    """Everything a plan has: what it read, what it will read while it is applied, and
    what will then be there.
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
    """What the rules object to, as rule, address, a text in the block to look for, and
    message.
    """
    for rule in RULES:
        for address, text, message in rule(rows):
            yield rule.__name__.replace("_", "-"), address, text, message


Objections = Iterator[tuple[str, str, str]]


def public_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """A bucket that could be made public, or is."""
    for bucket, block in _companions(rows, "aws_s3_bucket_public_access_block"):
        if block is None:
            yield bucket.address, "", f"{bucket.address}: nothing blocks public access"
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
                f"{row.address}: a statement allows everybody, without a condition",
            )


def unencrypted_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """A bucket whose objects are not encrypted by what is declared for it."""
    for bucket, encryption in _companions(
        rows, "aws_s3_bucket_server_side_encryption_configuration"
    ):
        if encryption is None or not encryption.values.get("rule"):
            yield bucket.address, "", f"{bucket.address}: no encryption is declared"


def unversioned_bucket(rows: Sequence[PlannedResource]) -> Objections:
    """A bucket in which what is overwritten is lost."""
    for bucket, versioning in _companions(rows, "aws_s3_bucket_versioning"):
        settings = (
            versioning.values.get("versioning_configuration") if versioning else None
        )
        if not settings or settings[0].get("status") != "Enabled":
            row = versioning or bucket
            yield row.address, "status", f"{row.address}: the bucket keeps no versions"


def wildcard_action(rows: Sequence[PlannedResource]) -> Objections:
    """A permission for actions that nobody has listed."""
    for row, statement in _allowed(rows):
        for action in _list(statement.get("actions") or statement.get("Action")):
            if "*" in action:
                yield (
                    row.address,
                    f'"{action}"',
                    f"{row.address}: allows {action}; list the actions that are needed",
                )


def force_destroy(rows: Sequence[PlannedResource]) -> Objections:
    """A bucket that goes with all that is in it."""
    for row in rows:
        if row.values.get("force_destroy") is True:
            yield (
                row.address,
                "force_destroy",
                f"{row.address}: goes with all that is in it",
            )


RULES = (
    public_bucket,
    unencrypted_bucket,
    unversioned_bucket,
    wildcard_action,
    force_destroy,
)


def _companions(
    rows: Sequence[PlannedResource], type_: str
) -> Iterator[tuple[PlannedResource, PlannedResource | None]]:
    """Each bucket with the resource of a type that names it; its name is known before
    it is made.
    """
    by_name = {row.values.get("bucket"): row for row in rows if row.type == type_}
    for row in rows:
        if row.type == "aws_s3_bucket":
            yield row, by_name.get(row.values.get("bucket"))


def _allowed(
    rows: Sequence[PlannedResource],
) -> Iterator[tuple[PlannedResource, Mapping[str, Any]]]:
    """Each statement that allows something: of policy documents, and of policies that
    come from none of them.
    """
    for row in rows:
        if row.type == DOCUMENT:
            for statement in row.values.get("statement") or ():
                if (statement.get("effect") or "Allow") == "Allow":
                    yield row, statement
    for row, text in _own_policies(rows):
        for statement in _list(json.loads(text).get("Statement")):
            if statement.get("Effect") == "Allow":
                yield row, statement


def _own_policies(
    rows: Sequence[PlannedResource],
) -> Iterator[tuple[PlannedResource, str]]:
    """Each resource with a policy that comes from no policy document."""
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
    """Whom a statement names, in a policy document's data source or in its JSON."""
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
    """A text without what names its environment: its name, and its account."""
    return re.sub(
        r"\b(?:staging|production)\b",
        "<environment>",
        re.sub(r"\b\d{12}\b", "<account>", text),
    )


def differences(
    one: Iterable[PlannedResource], two: Iterable[PlannedResource], free: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """What differs between two plans and may not: address, attribute, and what either
    of them has.
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
    """Each attribute of these resources as `type.path`, also where its value is known
    only after the apply.
    """
    for row in rows:
        for values in (row.values, row.unknown):
            yield from (f"{row.type}.{path}" for path, _ in _flat(values))


def _unequal_values(
    one: PlannedResource, two: PlannedResource
) -> Iterator[tuple[str, str, str]]:
    """The attributes that are known of both resources and differ, with both values."""
    first, second = dict(_flat(one.values)), dict(_flat(two.values))
    for name in sorted(first.keys() | second.keys()):
        left, right = first.get(name, "not set"), second.get(name, "not set")
        if left != right and one.knows(name) and two.knows(name):
            yield name, left, right


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each single value below this one, by its path: `rule.0.id`."""
    if isinstance(value, (Mapping, list)):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _flat(each, f"{path}.{name}".removeprefix("."))
    else:
        yield path, environment_free(json.dumps(value))
