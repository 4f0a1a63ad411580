"""Creates all checks of the images, in the order of their dependencies."""

from __future__ import annotations

from datetime import date

from lake_ci.checks.docker import engine as containers
from lake_ci.checks.docker.base_image import BaseImage
from lake_ci.checks.docker.build import BuildImages, DockerOptions, Hadolint, Images
from lake_ci.checks.docker.contents import (
    Configuration,
    ImageContents,
    Inventory,
    Packages,
    Size,
)
from lake_ci.checks.docker.reproducibility import RebuildCheck
from lake_ci.checks.docker.settings import TARGETS, docker_settings
from lake_ci.checks.docker.smoke_tests import SmokeTest
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.tests.java import Jars, Java
from lake_ci.runner.check import CheckContext, Stages

REPORTS = ["images.json", *(f"sbom-{target}.json" for target in TARGETS)]
"""The names of the reports that the checks write."""


def stages(ctx: CheckContext, chosen: DockerOptions, today: date) -> Stages:
    """Yield the checks of the chosen images, stage by stage.

    Containers, volumes and images are removed when the generator is closed.
    """
    settings = docker_settings(ctx.root)
    yield [Hadolint(), BaseImage(), Java("17"), Jars()]
    with containers.engine(ctx) as engine:
        made = Images(engine, chosen.targets, settings)
        yield [containers.EngineCheck(engine), BuildImages(made)]
        yield [Configuration(made), ImageContents(made), Size(made)]
        yield [SmokeTest(made, target) for target in chosen.targets]
        yield [] if chosen.once else [RebuildCheck(made)]
        yield [Packages(made, Register(ctx.root, today), today)]
        yield [Inventory(made)]
