"""The tests of the repository's own rules for its overlays, run by pytest over what the
session rendered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from lake_ci.checks.kubernetes.kustomize import Build
from lake_ci.checks.kubernetes.scans import NOT_BUILT
from lake_ci.checks.tests.pytest import Pytest
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Workbench

TESTS = "testing/k8s"
# The files that hold the rendered manifests and where they were written, as
# `Rendered.from_json` reads them; the folder of each is named after its environment.
VARIABLE = "LAKE_CI_RENDERED"


class OverlayTests(Pytest):
    """The tests in testing/k8s pass: the rules that hold for this lake alone."""

    # Others may run meanwhile: nobody else here writes the job's junit.xml.
    alone = False

    def __init__(self, builds: Sequence[Build]) -> None:
        super().__init__("overlay tests", [TESTS])
        self.builds = builds

    def run(self, bench: Workbench) -> Outcome:
        if not self._built():
            return Outcome(Status.SKIPPED, NOT_BUILT)
        # What was typed after `--` is not meant for pytest here.
        return super().run(replace(bench, posargs=(), workers=1))

    def variables(self, bench: Workbench) -> dict[str, str]:
        files = [str(build.places(bench)) for build in self._built()]
        return {VARIABLE: os.pathsep.join(files)}

    def _built(self) -> list[Build]:
        """The builds that made something, as soon as all have ended."""
        return [build for build in self.builds if build.made.wait()]
