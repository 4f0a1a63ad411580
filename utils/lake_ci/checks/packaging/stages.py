"""Creates all checks of the wheel and the sdist."""

from __future__ import annotations

from collections.abc import Sequence

from lake_ci.checks.packaging.packaging import (
    BuildDistribution,
    Checksums,
    DistributionContents,
    InstallWheel,
    ReproducibilityCheck,
    Sbom,
    Twine,
    Version,
    WheelContents,
)
from lake_ci.runner.check import Check


def checks(pythons: Sequence[str]) -> list[Check]:
    """Return the builds, the checks, and an installation on each Python version."""
    built = [
        Version(),
        BuildDistribution("wheel"),
        BuildDistribution("sdist"),
        Twine(),
        WheelContents(),
    ]
    compared = [DistributionContents(), Checksums(), ReproducibilityCheck()]
    return [*built, *compared, *map(InstallWheel, pythons), Sbom(pythons)]
