"""Reads `[tool.lake_ci.docker]` of pyproject.toml, the settings of the image checks."""

from __future__ import annotations

from pathlib import Path

from lake_ci.errors import UsageError
from lake_ci.model.settings import Docker, read_settings
from lake_ci.system import git

TABLE = "[tool.lake_ci.docker]"
BAKE = "docker/docker-bake.hcl"
TARGETS = ("dev", "prod", "api", "processor")


def docker_settings(root: Path) -> Docker:
    """Return the settings of the image checks, validated against the repository.

    Raises:
        UsageError: a setting is missing or unknown, or names a missing file.
    """
    settings = read_settings(root).docker
    if settings is None:
        raise UsageError(f"pyproject.toml: {TABLE} is missing")
    for problem in (
        *_unnamed_images(settings, root),
        *_unknown_targets(settings),
        *_missing_paths(settings, root),
        *_misnamed_tests(settings, root),
    ):
        raise UsageError(f"pyproject.toml: {TABLE} {problem}")
    return settings


def _unnamed_images(settings: Docker, root: Path) -> list[str]:
    text = (root / BAKE).read_text(encoding="utf-8")
    if f'variable "PREFIX" {{ default = "{settings.prefix}" }}' in text:
        return []
    return [f"prefix: PREFIX of {BAKE} is not {settings.prefix!r}"]


def _unknown_targets(settings: Docker) -> list[str]:
    named = {"packages": [*settings.packages], "megabytes": [*settings.megabytes]}
    problems = [
        f"{name}: no image {target!r}; known: {', '.join(TARGETS)}"
        for name, targets in named.items()
        for target in targets
        if target not in TARGETS
    ]
    return problems + [
        f"megabytes: no limit for {target!r}"
        for target in TARGETS
        if target not in settings.megabytes
    ]


def _missing_paths(settings: Docker, root: Path) -> list[str]:
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


def _misnamed_tests(settings: Docker, root: Path) -> list[str]:
    """Return a problem for each image without a test and each test without an image."""
    wanted = {settings.test_file(target) for target in TARGETS}
    there = {
        path.relative_to(root).as_posix()
        for path in (root / settings.tests).rglob("test_*.py")
    }
    return [f"tests: {name} is missing" for name in sorted(wanted - there)] + [
        f"tests: {name} does not match an image" for name in sorted(there - wanted)
    ]
