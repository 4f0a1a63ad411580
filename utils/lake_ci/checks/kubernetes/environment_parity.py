"""Compares the manifests of staging and production."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from lake_ci.checks.kubernetes.image_settings import TABLE
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered, leaves
from lake_ci.checks.setting_patterns import unmatched_patterns
from lake_ci.checks.terraform import accounts
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.model.settings import read_settings
from lake_ci.runner.check import Check, CheckContext

COMPARED = ("staging", "production")
HASH = re.compile(r"-[a-z0-9]{10}$")
Value = tuple[Manifest, tuple["str | int", ...], str]


class EnvironmentParity(Check):
    """Check that staging and production have the same manifests.

    The only allowed differences are the environments' names and accounts, and the
    values that match `may_differ` in pyproject.toml.
    """

    name = "staging is production"

    def __init__(self, builds: Sequence[BuildOverlay]) -> None:
        self.builds = {build.environment: build for build in builds}

    def run(self, ctx: CheckContext) -> Outcome:
        if not set(COMPARED) <= self.builds.keys():
            return Outcome(
                Status.SKIPPED, "not compared: only some environments were selected"
            )
        both = [self.builds[name].result.wait() for name in COMPARED]
        staging, production = both
        if staging is None or production is None:
            return Outcome(
                Status.SKIPPED, "not compared: staging or production was not built"
            )
        allowed = read_settings(ctx.root).k8s.may_differ
        first, second = (
            values(each, accounts.setting(ctx, each.environment, "account_id"))
            for each in (staging, production)
        )
        found = self.differences(first, second, allowed)
        names = {*first, *second}
        found += unmatched_patterns(self.name, ctx.root, TABLE, allowed, names, "value")
        return Outcome.of(
            found, clean=f"{len(second)} values, {len(allowed)} patterns in may_differ"
        )

    def differences(
        self,
        staging: Mapping[str, Value],
        production: Mapping[str, Value],
        allowed: Sequence[str],
    ) -> list[Finding]:
        """Yield a finding for each value that differs between staging and production.

        The finding is at the line of the value in production. If production lacks the
        value, the finding is at the line of the value in staging.
        """
        found = []
        for key in sorted(staging.keys() | production.keys()):
            one, two = staging.get(key), production.get(key)
            texts = [each[2] if each else "nothing" for each in (one, two)]
            if texts[0] == texts[1] or any(
                fnmatchcase(key, pattern) for pattern in allowed
            ):
                continue
            manifest, path, _ = two or one or _nobody()
            message = f"{key} is {texts[0]} in staging and {texts[1]} in production"
            found.append(manifest.finding(self.name, "differs", message, path))
        return found


def _nobody() -> Value:
    raise AssertionError("a key that nobody has")


def values(rendered: Rendered, account: str | None) -> dict[str, Value]:
    """Return the values of an environment's objects; each key is `Kind.name.path`.

    The environment's name and account are replaced by placeholders, and the hashes in
    the names of ConfigMaps are removed.
    """
    generated = {
        each.name: HASH.sub("", each.name) for each in rendered.of("ConfigMap")
    }

    def neutral(value: object) -> str:
        text = generated.get(str(value), str(value))
        text = text.replace(rendered.environment, "{environment}")
        return text.replace(account, "{account}") if account else text

    found = {}
    for manifest in rendered.manifests:
        name = neutral(manifest.name)
        for path, value in leaves(manifest.body):
            steps = ".".join(manifest.step_names(path))
            found[f"{manifest.kind}.{name}.{steps}"] = (manifest, path, neutral(value))
    return found
