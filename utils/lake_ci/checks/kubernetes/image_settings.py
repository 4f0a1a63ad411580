"""Reads `[tool.lake_ci.k8s]` of pyproject.toml.

The table `[tool.lake_ci.k8s]` defines the program of each image, the environment
variables that each program reads, and the variables that each image needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lake_ci.checks.kubernetes.declared_variables import variables
from lake_ci.errors import UsageError
from lake_ci.model.settings import KubernetesImage, KubernetesProgram, read_settings

TABLE = "tool.lake_ci.k8s"


@dataclass(frozen=True)
class Program:
    """A program that runs in images.

    Attributes:
        reads: the environment variables that the program reads.
        grace: the environment variable that sets how many seconds the program may take
            to shut down; None if no variable sets this time.
    """

    name: str
    reads: frozenset[str]
    grace: str | None = None


@dataclass(frozen=True)
class Image:
    """An image, and the program that the image runs.

    Attributes:
        environment: the environment variables that the image needs, with their values.
    """

    program: Program
    environment: Mapping[str, str] = field(default_factory=dict)


def read_images(root: Path) -> dict[str, Image]:
    """Return the images in pyproject.toml by name.

    The names of the images contain neither registry nor tag.

    Raises:
        UsageError: a setting is wrong, or refers to a file, program or variable that
            does not exist.
    """
    settings = read_settings(root).k8s
    programs = {
        name: _program(root, name, program)
        for name, program in settings.programs.items()
    }
    images = {
        name: _image(name, image, programs) for name, image in settings.images.items()
    }
    used = {image.program.name for image in images.values()}
    for name in programs:
        if name not in used:
            raise _wrong(f"programs.{name}", "no image uses it")
    return images


def _program(root: Path, name: str, settings: KubernetesProgram) -> Program:
    place = f"programs.{name}"
    try:
        reads = variables(root, settings.code, settings.settings)
    except UsageError as error:
        raise _wrong(place, error.message) from None
    grace = settings.grace
    if grace is not None and grace not in reads:
        raise _wrong(place, f"grace is {grace!r}, which {name} does not read")
    return Program(name, reads, grace)


def _image(
    name: str, settings: KubernetesImage, programs: Mapping[str, Program]
) -> Image:
    place = f"images.{name}"
    program = programs.get(settings.program)
    if program is None:
        known = ", ".join(programs) or "none"
        raise _wrong(place, f"program is {settings.program!r}; known: {known}")
    for variable in settings.environment:
        if variable not in program.reads:
            raise _wrong(
                place,
                f"environment has {variable!r}, which {program.name} does not read",
            )
    return Image(program, settings.environment)


def _wrong(place: str, message: str) -> UsageError:
    return UsageError(f"pyproject.toml: [{TABLE}.{place}]: {message}")
