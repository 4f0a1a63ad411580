"""Creates all checks of the manifests."""

from __future__ import annotations

from contextlib import ExitStack

from lake_ci.checks.kubernetes.api_server import ApiServer
from lake_ci.checks.kubernetes.dry_run import ClusterDiff, DryRun
from lake_ci.checks.kubernetes.environment_parity import EnvironmentParity
from lake_ci.checks.kubernetes.image_settings import read_images
from lake_ci.checks.kubernetes.kustomize import (
    BuildOverlay,
    KubernetesOptions,
    YamlLint,
)
from lake_ci.checks.kubernetes.overlay_tests import OverlayTests
from lake_ci.checks.kubernetes.rules import ProjectRules
from lake_ci.checks.kubernetes.scans import (
    CheckovScan,
    KubernetesCheckov,
    SchemaValidation,
)
from lake_ci.checks.kubernetes.unused_settings import UnusedSettings
from lake_ci.runner.check import Check, CheckContext, Stages


def stages(ctx: CheckContext, chosen: KubernetesOptions) -> Stages:
    """Return the checks of the chosen environments, in one stage.

    The checks of an environment wait for the build of this environment. The API server
    runs until the generator is closed.

    Raises:
        UsageError: a setting in `[tool.lake_ci.k8s]` is wrong.
    """
    if chosen.diff:
        yield [ClusterDiff(chosen.diff)]
        return
    builds = [BuildOverlay(name) for name in chosen.environments]
    scan, images = CheckovScan(builds), read_images(ctx.root)
    with ExitStack() as held:
        server = ApiServer(held)
        found: list[Check] = [server, YamlLint(), *builds]
        for build in builds:
            found += [
                SchemaValidation(build),
                DryRun(build, server),
                KubernetesCheckov(build, scan),
                ProjectRules(build, images),
            ]
        found += [OverlayTests(builds), UnusedSettings(scan, images)]
        yield [*found, EnvironmentParity(builds)]
