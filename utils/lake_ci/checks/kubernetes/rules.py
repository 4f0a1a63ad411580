"""The project's own rules for one environment: what no schema or server can know."""

from __future__ import annotations

from collections.abc import Mapping

from lake_ci.checks.kubernetes import overlay_rules, pod_rules
from lake_ci.checks.kubernetes.image_settings import Image
from lake_ci.checks.kubernetes.kustomize import Build
from lake_ci.checks.kubernetes.rule_context import Facts, built, not_compared
from lake_ci.checks.kubernetes.scans import NOT_BUILT, settings
from lake_ci.checks.terraform import accounts
from lake_ci.model.results import Outcome, Status, count
from lake_ci.runner.check import Tool, Workbench

RULES = (*pod_rules.RULES, *overlay_rules.RULES)


class Practices(Tool):
    """The environment keeps the project's own rules: images, network, grace, settings
    that somebody reads.
    """

    def __init__(self, build: Build, images: Mapping[str, Image]) -> None:
        self.build = build
        self.images = images
        self.name = f"practices {build.environment}"

    def run(self, bench: Workbench) -> Outcome:
        rendered = self.build.made.wait()
        if rendered is None:
            return Outcome(Status.SKIPPED, NOT_BUILT)
        facts = Facts(
            built=built(bench.root),
            images=self.images,
            secrets=frozenset(settings(bench)["secrets"]),
            account=accounts.setting(bench, rendered.environment, "account_id"),
        )
        found = [
            finding for rule in RULES for finding in rule(self.name, rendered, facts)
        ]
        clean = count(len(RULES), "rule")
        why = not_compared(bench.root)
        if why is not None:
            clean += f"; images not compared: {why}"
        return Outcome.of(found, clean=clean)
