"""All the checks of the manifests, as they depend on each other."""

from __future__ import annotations

from contextlib import ExitStack

from lake_ci.checks.kubernetes.api_server import ApiServer
from lake_ci.checks.kubernetes.dry_run import Diff, DryRun
from lake_ci.checks.kubernetes.environment_parity import Alike
from lake_ci.checks.kubernetes.image_settings import read_images
from lake_ci.checks.kubernetes.kustomize import Build, Options, Yaml
from lake_ci.checks.kubernetes.overlay_tests import OverlayTests
from lake_ci.checks.kubernetes.rules import Practices
from lake_ci.checks.kubernetes.scans import Checkov, Scan, Schema
from lake_ci.checks.kubernetes.unused_settings import UnusedSettings
from lake_ci.runner.check import Stages, Tool, Workbench


def stages(bench: Workbench, chosen: Options) -> Stages:
    """The checks of these environments, all at once: each waits for its build, and the
    API server starts meanwhile.

    The server lives until the iterator is closed. Raises UsageError for a setting of
    the images that is wrong.
    """
    if chosen.diff:
        yield [Diff(chosen.diff)]
        return
    builds = [Build(name) for name in chosen.environments]
    scan, images = Scan(builds), read_images(bench.root)
    with ExitStack() as held:
        server = ApiServer(held)
        found: list[Tool] = [server, Yaml(), *builds]
        for build in builds:
            found += [
                Schema(build),
                DryRun(build, server),
                Checkov(build, scan),
                Practices(build, images),
            ]
        found += [OverlayTests(builds), UnusedSettings(scan, images)]
        yield [*found, Alike(builds)]
