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
from lake_ci.checks.reviewed_commit import ReviewedCommit
from lake_ci.runner.check import Check


def checks(pythons: Sequence[str], event: str) -> list[Check]:
    """Return the builds, the checks, and the installation on each of the Pythons.

    Args:
        event: the event of the run; the files of a `tag` are published, so its commit
            must be reviewed.
    """
    tagged = [ReviewedCommit("be published")] if event == "tag" else []
    built = [
        *tagged,
        Version(),
        BuildDistribution("wheel"),
        BuildDistribution("sdist"),
        Twine(),
        WheelContents(),
    ]
    compared = [DistributionContents(), Checksums(), ReproducibilityCheck()]
    return [*built, *compared, *map(InstallWheel, pythons), Sbom(pythons)]
