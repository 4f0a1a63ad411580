"""Runs the smoke tests of the images.

For each image, the project has one pytest module, which starts containers of the image.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from lake_ci.checks.docker.build import Images
from lake_ci.checks.docker.engine import LABEL, SCRATCH
from lake_ci.checks.tests.pytest import Pytest
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

# The environment variables for the tests: the image's name, the label for the tests'
# containers, and a folder for the tests' files. The folder is removed after the run.
IMAGE = "LAKE_CI_IMAGE"
CONTAINER_LABEL = "LAKE_CI_LABEL"
FOLDER = "LAKE_CI_SCRATCH"


class SmokeTest(Pytest):
    """Run the smoke tests of an image, `test_IMAGE.py`.

    The setting `tests` of `[tool.lake_ci.docker]` names the folder of the tests.
    """

    # The tests of all images run in parallel, because each image has its own
    # containers.
    exclusive = False

    def __init__(self, images: Images, target: str) -> None:
        super().__init__(target, [images.settings.test_file(target)])
        self.images = images

    def run(self, ctx: CheckContext) -> Outcome:
        if self.name not in self.images.ids:
            return Outcome(Status.SKIPPED, f"{self.name} was not built")
        # The session's arguments select images, so do not pass these arguments to
        # pytest.
        return super().run(replace(ctx, posargs=(), workers=1))

    def arguments(self, ctx: CheckContext) -> list[str] | None:
        # Disable pytest's cache: parallel processes would overwrite each other's cache.
        return [*self.folders, "-p", "no:cacheprovider"]

    def variables(self, ctx: CheckContext) -> dict[str, str]:
        engine = self.images.engine
        return {
            **super().variables(ctx),
            **engine.env,
            IMAGE: self.images.name(self.name),
            CONTAINER_LABEL: f"{LABEL}={engine.checkout}",
            FOLDER: str(ctx.root / SCRATCH),
        }

    def echo(self, line: str) -> None:
        """Print nothing, because the lines of several images' tests would be mixed."""

    def outcome(self, done: Completed, junit: Path, ctx: CheckContext) -> Outcome:
        outcome = super().outcome(done, junit, ctx)
        if outcome.status is not Status.SUCCESS:
            sys.stdout.write(done.stdout)
            return outcome
        skipped = ", ".join(outcome.data["skipped"])
        return replace(outcome, not_checked=f"skipped: {skipped}" if skipped else None)
