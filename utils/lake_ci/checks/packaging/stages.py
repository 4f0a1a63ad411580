"""Creates all checks of the wheel and the sdist."""

from __future__ import annotations

from collections.abc import Sequence

from lake_ci.checks.commit_on_main import CommitOnMain
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


def checks(pythons: Sequence[str], event: str) -> list[Check]:
    """Return the checks of a build, including an installation for each Python version.

    Args:
        event: the event that started the run. After the event `tag`, the files are
            published, so the tagged commit must have been reviewed.
    """
    tagged = [CommitOnMain("be published")] if event == "tag" else []
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
