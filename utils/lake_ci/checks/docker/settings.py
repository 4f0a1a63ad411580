"""Reads `[tool.lake_ci.docker]` of pyproject.toml, the settings of the image checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lake_ci.errors import UsageError
from lake_ci.system import git, pyproject

TABLE = "[tool.lake_ci.docker]"
BAKE = "docker/docker-bake.hcl"
TARGETS = ("dev", "prod", "api", "processor")


@dataclass(frozen=True)
class Settings:
    """The settings of the image checks, validated against the repository.

    Attributes:
        prefix: the part of an image's name before the target.
        packages: the Python package that an image must contain, by target.
        context: the files and folders that the images are built from.
        planted: the files in them that the reproducibility check fills with a secret.
        megabytes: the largest size of each image, by target.
        tests: the folder of the images' tests, `test_TARGET.py`.
    """

    prefix: str
    packages: Mapping[str, str]
    context: Sequence[str]
    planted: Sequence[str]
    megabytes: Mapping[str, float]
    tests: str

    @classmethod
    def read(cls, root: Path) -> Settings:
        """Read and validate the settings of a repository.

        Raises:
            UsageError: a setting is missing or unknown, or names a missing file.
        """
        table = pyproject.settings(root, "docker")
        wanted = {field.name for field in fields(cls)}
        for name in sorted(wanted ^ set(table)):
            problem = "is missing" if name in wanted else "is unknown"
            raise UsageError(f"pyproject.toml: {TABLE} {name} {problem}")
        for name in sorted(wanted):
            if not table[name]:
                raise UsageError(f"pyproject.toml: {TABLE} {name} is empty")
        settings = cls(**table)
        for problem in (
            *_unnamed_images(settings, root),
            *_unknown_targets(table),
            *_missing_paths(settings, root),
            *_misnamed_tests(settings, root),
        ):
            raise UsageError(f"pyproject.toml: {TABLE} {problem}")
        return settings

    def image(self, target: str) -> str:
        """Return the name of an image, without registry and tag."""
        return f"{self.prefix}{target}"

    def test_file(self, target: str) -> str:
        """Return the tests of an image, relative to the repository."""
        return f"{self.tests}/test_{target}.py"


def _unnamed_images(settings: Settings, root: Path) -> list[str]:
    text = (root / BAKE).read_text(encoding="utf-8")
    if f'variable "PREFIX" {{ default = "{settings.prefix}" }}' in text:
        return []
    return [f"prefix: PREFIX of {BAKE} is not {settings.prefix!r}"]


def _unknown_targets(table: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name}: no image {target!r}; known: {', '.join(TARGETS)}"
        for name in ("packages", "megabytes")
        for target in table[name]
        if target not in TARGETS
    ]
    return problems + [
        f"megabytes: no limit for {target!r}"
        for target in TARGETS
        if target not in table["megabytes"]
    ]


def _missing_paths(settings: Settings, root: Path) -> list[str]:
    problems = [
        f"context: no tracked file at {path!r}"
        for path in settings.context
        if not git.files(root, path)
    ]
    for path in settings.planted:
        folder = (root / path).parent
        inside = folder == root or any(
            folder.is_relative_to(root / each) for each in settings.context
        )
        if not (inside and git.files(root, str(folder))):
            problems.append(f"planted: {path!r} is not in a folder of `context`")
    return problems


def _misnamed_tests(settings: Settings, root: Path) -> list[str]:
    """Problems of file names: tests that belong to no image would never run."""
    wanted = {settings.test_file(target) for target in TARGETS}
    there = {
        path.relative_to(root).as_posix()
        for path in (root / settings.tests).rglob("test_*.py")
    }
    return [f"tests: {name} is missing" for name in sorted(wanted - there)] + [
        f"tests: {name} does not match an image" for name in sorted(there - wanted)
    ]
