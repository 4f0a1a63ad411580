"""Runs with pytest the project's own tests of the rendered overlays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.scans import NOT_BUILT
from lake_ci.checks.tests.pytest import Pytest
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext

TESTS = "testing/k8s"
# The environment variable that contains the paths of the rendered files. Each file has
# the format of `Rendered.from_json`, and its folder is named after the environment.
VARIABLE = "LAKE_CI_RENDERED"


class OverlayTests(Pytest):
    """Run the tests in testing/k8s, which check rules specific to this project."""

    # Other checks of this job may run at the same time, because no other check writes
    # to junit.xml.
    exclusive = False

    def __init__(self, builds: Sequence[BuildOverlay]) -> None:
        super().__init__("overlay tests", [TESTS])
        self.builds = builds

    def run(self, ctx: CheckContext) -> Outcome:
        if not self._built():
            return Outcome(Status.SKIPPED, NOT_BUILT)
        # Do not pass the arguments after `--` to pytest: these arguments are for the
        # session.
        return super().run(replace(ctx, posargs=(), workers=1))

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        files = [str(build.places(ctx)) for build in self._built()]
        return {VARIABLE: os.pathsep.join(files)}

    def _built(self) -> list[BuildOverlay]:
        """Wait for all builds, and return the overlays whose build succeeded."""
        return [build for build in self.builds if build.result.wait()]
