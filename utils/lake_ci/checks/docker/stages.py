"""All the checks of the images, as they depend on each other."""

from __future__ import annotations

from datetime import date

from lake_ci.checks.docker import engine as containers
from lake_ci.checks.docker.build import Build, Hadolint, Images, Options
from lake_ci.checks.docker.contents import (
    Configuration,
    Contents,
    Inventory,
    Packages,
    Size,
)
from lake_ci.checks.docker.reproducibility import Again
from lake_ci.checks.docker.settings import TARGETS, Settings
from lake_ci.checks.docker.smoke_tests import SmokeTest
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.tests.java import Jars, Java
from lake_ci.runner.check import Stages, Workbench

REPORTS = ["images.json", *(f"sbom-{target}.json" for target in TARGETS)]
"""What the checks leave, by name."""


def stages(bench: Workbench, chosen: Options, today: date) -> Stages:
    """The checks of these targets. What the engine was given is gone when the iterator
    is closed.
    """
    settings = Settings.read(bench.root)
    yield [Hadolint(), Java("17"), Jars()]
    with containers.engine(bench) as engine:
        made = Images(engine, chosen.targets, settings)
        yield [containers.Present(engine), Build(made)]
        yield [Configuration(made), Contents(made), Size(made)]
        yield [SmokeTest(made, target) for target in chosen.targets]
        yield [] if chosen.once else [Again(made)]
        yield [Packages(made, Register(bench.root, today), today)]
        yield [Inventory(made)]
