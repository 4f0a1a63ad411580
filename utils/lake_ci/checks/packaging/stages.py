"""All the checks of the wheel and the sdist."""

from __future__ import annotations

from collections.abc import Sequence

from lake_ci.checks.packaging.packaging import (
    Build,
    Checksums,
    Contents,
    Install,
    Reproducible,
    Sbom,
    Twine,
    Version,
    WheelContents,
)
from lake_ci.runner.check import Tool


def checks(pythons: Sequence[str]) -> list[Tool]:
    """Each distribution built, compared with the repository, and installed on each of
    the Pythons.
    """
    built = [Version(), Build("wheel"), Build("sdist"), Twine(), WheelContents()]
    compared = [Contents(), Checksums(), Reproducible()]
    return [*built, *compared, *map(Install, pythons), Sbom(pythons)]
