"""Applies the project's own rules to the manifests of one environment."""

from __future__ import annotations

from collections.abc import Mapping

from lake_ci.checks.kubernetes import overlay_rules, pod_rules
from lake_ci.checks.kubernetes.image_settings import Image
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.rule_context import RuleContext, built, not_compared
from lake_ci.checks.kubernetes.scans import NOT_BUILT
from lake_ci.checks.terraform import accounts
from lake_ci.model.results import Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext

RULES = (*pod_rules.RULES, *overlay_rules.RULES)


class ProjectRules(Check):
    """Check an environment against the project's own rules for pods and overlays."""

    def __init__(self, build: BuildOverlay, images: Mapping[str, Image]) -> None:
        self.build = build
        self.images = images
        self.name = f"practices {build.environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        rendered = self.build.result.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        context = RuleContext(
            built=built(ctx.root),
            images=self.images,
            secrets=frozenset(read_settings(ctx.root).k8s.secrets),
            account=accounts.setting(ctx, rendered.environment, "account_id"),
        )
        found = [
            finding for rule in RULES for finding in rule(self.name, rendered, context)
        ]
        clean = count(len(RULES), "rule")
        why = not_compared(ctx.root)
        if why is not None:
            clean += f"; images not compared: {why}"
        return Outcome.of(found, clean=clean)
