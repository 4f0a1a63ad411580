"""Checks plans with the project's own rules, and compares staging with production."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lake_ci.checks.setting_patterns import unmatched_patterns
from lake_ci.checks.terraform import destroy_guard, hcl
from lake_ci.checks.terraform.code import FOLDER
from lake_ci.checks.terraform.differences import attributes, differences
from lake_ci.checks.terraform.plan import EnvironmentPlan, made
from lake_ci.checks.terraform.resources import PlannedResource, resources
from lake_ci.checks.terraform.rules import RULES, TABLE, objections
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext

# Staging must be equal to production, because each change is tried in staging first,
# and must then have in production the effect that it had in staging.
PRODUCTION = "production"
ALIKE = ("staging", PRODUCTION)


class Policy(Check):
    """Check the rules in each environment, and compare staging with production.

    No bucket is public. Every bucket is encrypted and versioned. No statement allows
    actions by a wildcard. No bucket can be destroyed together with its objects. Every
    bucket refuses objects that a client encrypts with its own key. Every layer has a
    lifecycle rule. In production, no plan can destroy a bucket or a key.
    """

    name = "policy"

    def __init__(self, plans: Sequence[EnvironmentPlan]) -> None:
        self.plans = plans

    def run(self, ctx: CheckContext) -> Outcome:
        read = {
            environment: json.loads((folder / "plan.json").read_text(encoding="utf-8"))
            for environment, folder in made(self.plans).items()
        }
        plans = {
            environment: list(resources(plan)) for environment, plan in read.items()
        }
        if not plans:
            return Outcome(Status.SKIPPED, "no plan was made")
        found: dict[Finding, list[str]] = {}
        layers = read_settings(ctx.root).terraform.layers
        for environment, rows in plans.items():
            for rule, address, text, message in objections(rows, layers):
                finding = self.finding(ctx, rule, address, text, message)
                found.setdefault(finding, []).append(environment)
        found.update(
            (finding, [PRODUCTION])
            for finding in self.unguarded(ctx, read.get(PRODUCTION, {}))
        )
        if all(environment in plans for environment in ALIKE):
            differing = self.differing(ctx, *(plans[name] for name in ALIKE))
            found.update((finding, list(ALIKE)) for finding in differing)
        return Outcome.of(
            found, clean=f"{count(len(plans), 'plan')}, {count(len(RULES), 'rule')}"
        )

    def unguarded(
        self, ctx: CheckContext, plan: Mapping[str, Any]
    ) -> Iterator[Finding]:
        """Yield a finding for each bucket and key that a plan could destroy."""
        for address in destroy_guard.unguarded(ctx.root, plan):
            message = (
                f"{address}: a plan could destroy it in {PRODUCTION}; add its ARN to"
                " triggers_replace of a terraform_data with prevent_destroy"
            )
            yield self.finding(ctx, "destroy-guard", address, "", message)

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
        """Return a finding at the line in a resource's block that has this text."""
        block = hcl.locate(ctx.root, FOLDER, address)
        return Finding(
            self.name,
            rule,
            message,
            block.file if block else FOLDER,
            block.line_of(text) if block else None,
        )
