"""Finds settings of `[tool.lake_ci.k8s]` that no environment uses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from lake_ci.checks.kubernetes.image_settings import TABLE, Image
from lake_ci.checks.kubernetes.manifests import Rendered, leaves
from lake_ci.checks.kubernetes.overlay_rules import named_kind
from lake_ci.checks.kubernetes.rule_context import image_of
from lake_ci.checks.kubernetes.scans import NOT_BUILT, CheckovScan, kubernetes_settings
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system.pyproject import setting_line


class UnusedSettings(Check):
    """Check that an environment uses each image and Secret of pyproject.toml.

    Each accepted rule of checkov must be violated by an environment.
    """

    name = "settings"

    def __init__(self, scan: CheckovScan, images: Mapping[str, Image]) -> None:
        self.builds = scan.builds
        self.scan = scan
        self.images = images

    def run(self, ctx: CheckContext) -> Outcome:
        if {build.environment for build in self.builds} != set(ENVIRONMENTS):
            return Outcome(
                Status.SKIPPED, "skipped: only some environments were selected"
            )
        rendered = [each for build in self.builds if (each := build.result.wait())]
        if len(rendered) != len(self.builds):
            return Outcome(Status.SKIPPED, NOT_BUILT)
        scanned = self.scan.done(ctx)
        if scanned.code != 0:
            return Outcome(Status.SKIPPED, "skipped: checkov failed")
        broken = {row["rule"] for row in json.loads(scanned.stdout)["failed"]}
        secrets, accepted = (
            kubernetes_settings(ctx)["secrets"],
            kubernetes_settings(ctx)["accepted"],
        )
        unused = [
            ("unused-image", f"{TABLE}.images", name, "no environment runs the image")
            for name in sorted(set(self.images) - set(_images(rendered)))
        ]
        unused += [
            ("unused-secret", TABLE, name, "no environment uses the Secret")
            for name in sorted(set(secrets) - set(_secrets(rendered)))
        ]
        unused += [
            ("unused-rule", f"{TABLE}.accepted", name, "no environment breaks the rule")
            for name in sorted(set(accepted) - broken)
        ]
        found = [
            Finding(
                self.name,
                rule,
                f"{words} {name!r}",
                "pyproject.toml",
                setting_line(ctx.root, table, name),
            )
            for rule, table, name, words in unused
        ]
        clean = (
            f"{len(self.images)} images, {len(secrets)} Secrets,"
            f" {count(len(accepted), 'accepted rule')}"
        )
        return Outcome.of(found, clean=clean)


def _images(rendered: Sequence[Rendered]) -> Iterator[str]:
    for each in rendered:
        for manifest in each.workloads():
            yield from (image_of(container) for _, container in manifest.containers())


def _secrets(rendered: Sequence[Rendered]) -> Iterator[str]:
    for each in rendered:
        for manifest in each.manifests:
            for path, value in leaves(manifest.body):
                if named_kind(path) == "Secret":
                    yield str(value)
