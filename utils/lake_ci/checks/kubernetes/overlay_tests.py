"""Runs the project's own tests of its overlays with pytest, on the rendered objects."""

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
# The variable with the files of the rendered manifests, in the format of
# `Rendered.from_json`. The folder of each file is named after the environment.
VARIABLE = "LAKE_CI_RENDERED"


class OverlayTests(Pytest):
    """Run the tests in testing/k8s, the rules that are specific to this project."""

    # Other checks may run at the same time, because no other check of this job writes
    # its junit.xml.
    exclusive = False

    def __init__(self, builds: Sequence[BuildOverlay]) -> None:
        super().__init__("overlay tests", [TESTS])
        self.builds = builds

    def run(self, ctx: CheckContext) -> Outcome:
        if not self._built():
            return Outcome(Status.SKIPPED, NOT_BUILT)
        # The arguments after `--` are those of the session, not of pytest.
        return super().run(replace(ctx, posargs=(), workers=1))

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        files = [str(build.places(ctx)) for build in self._built()]
        return {VARIABLE: os.pathsep.join(files)}

    def _built(self) -> list[BuildOverlay]:
        """Wait for all builds, and return the objects of the successful builds."""
        return [build for build in self.builds if build.result.wait()]
