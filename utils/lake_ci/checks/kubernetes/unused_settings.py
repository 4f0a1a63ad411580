"""Finds settings of `[tool.lake_ci.k8s]` that no environment uses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lake_ci.checks.kubernetes.image_settings import TABLE, Image
from lake_ci.checks.kubernetes.manifests import Rendered, leaves
from lake_ci.checks.kubernetes.overlay_rules import named_kind
from lake_ci.checks.kubernetes.rule_context import image_of
from lake_ci.checks.kubernetes.scans import NOT_BUILT, CheckovScan
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system.pyproject import setting_line

# For each kind of setting, the table in pyproject.toml, and the message for an unused
# setting.
UNUSED = {
    "image": (f"{TABLE}.images", "no environment runs the image"),
    "secret": (TABLE, "no environment uses the Secret"),
    "rule": (f"{TABLE}.accepted", "no environment breaks the rule"),
}


class UnusedSettings(Check):
    """Check that each image and Secret in pyproject.toml is used by an environment.

    In addition, each accepted checkov rule must be violated in an environment. If no
    environment violates the rule, there is no reason to accept the rule.
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
        settings = read_settings(ctx.root).k8s
        broken = {row["rule"] for row in json.loads(scanned.stdout)["failed"]}
        found = [
            *self._unused(ctx, "image", self.images, _images(rendered)),
            *self._unused(ctx, "secret", settings.secrets, _secrets(rendered)),
            *self._unused(ctx, "rule", settings.accepted, broken),
        ]
        clean = (
            f"{len(self.images)} images, {len(settings.secrets)} Secrets,"
            f" {count(len(settings.accepted), 'accepted rule')}"
        )
        return Outcome.of(found, clean=clean)

    def _unused(
        self, ctx: CheckContext, kind: str, names: Iterable[str], used: Iterable[str]
    ) -> Iterator[Finding]:
        """Yield a finding for each unused name in the settings."""
        table, message = UNUSED[kind]
        for name in sorted(set(names) - set(used)):
            line = setting_line(ctx.root, table, name)
            text = f"{message} {name!r}"
            yield Finding(self.name, f"unused-{kind}", text, "pyproject.toml", line)


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
