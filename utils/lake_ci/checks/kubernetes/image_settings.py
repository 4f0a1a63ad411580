"""Reads `[tool.lake_ci.k8s]` of pyproject.toml.

The table has the program that each image runs, and the environment variables that
programs and images need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lake_ci.checks.kubernetes.declared_variables import variables
from lake_ci.errors import UsageError
from lake_ci.system.pyproject import settings

TABLE = "tool.lake_ci.k8s"
KEYS = ("versions", "secrets", "may_differ", "accepted", "programs", "images")


@dataclass(frozen=True)
class Program:
    """A program that images run.

    Attributes:
        reads: the environment variables that it reads.
        grace: the variable with its shutdown time in seconds, if it has one.
    """

    name: str
    reads: frozenset[str]
    grace: str | None = None


@dataclass(frozen=True)
class Image:
    """An image, with the program that it runs.

    Attributes:
        environment: the environment variables that it needs, with their values.
    """

    program: Program
    environment: Mapping[str, str] = field(default_factory=dict)


def read_images(root: Path) -> dict[str, Image]:
    """Return the images that pyproject.toml describes, by name.

    The names have no registry and no tag.

    Raises:
        UsageError: a setting is unknown, or names something that does not exist.
    """
    table = settings(root, "k8s")
    _only(table, KEYS)
    programs = {
        name: _program(root, name, program)
        for name, program in _tables(table, "programs").items()
    }
    images = {
        name: _image(name, image, programs)
        for name, image in _tables(table, "images").items()
    }
    used = {image.program.name for image in images.values()}
    for name in programs:
        if name not in used:
            raise _wrong(f"programs.{name}", "no image uses it")
    return images


def _program(root: Path, name: str, table: Mapping[str, Any]) -> Program:
    place = f"programs.{name}"
    _only(table, ("code", "settings", "grace"), place)
    code = table.get("code")
    if not isinstance(code, list) or not all(isinstance(each, str) for each in code):
        raise _wrong(place, "code is not a list of folders")
    declared = _texts(table, "settings", place)
    try:
        reads = variables(root, code, declared)
    except UsageError as error:
        raise _wrong(place, error.message) from None
    grace = table.get("grace")
    if grace is not None and grace not in reads:
        raise _wrong(place, f"grace is {grace!r}, which {name} does not read")
    return Program(name, reads, grace)


def _image(
    name: str, table: Mapping[str, Any], programs: Mapping[str, Program]
) -> Image:
    place = f"images.{name}"
    _only(table, ("program", "environment"), place)
    program = programs.get(str(table.get("program")))
    if program is None:
        known = ", ".join(programs) or "none"
        raise _wrong(place, f"program is {table.get('program')!r}; known: {known}")
    environment = _texts(table, "environment", place)
    for variable in environment:
        if variable not in program.reads:
            raise _wrong(
                place,
                f"environment has {variable!r}, which {program.name} does not read",
            )
    return Image(program, environment)


def _tables(table: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """Return the value of a key that is a table of tables."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise _wrong(key, "is not a table")
    for name, row in found.items():
        if not isinstance(row, dict):
            raise _wrong(f"{key}.{name}", "is not a table")
    return found


def _texts(table: Mapping[str, Any], key: str, place: str) -> dict[str, str]:
    """Return the value of a key that is a table of strings."""
    found = table.get(key, {})
    if not isinstance(found, dict) or any(
        not isinstance(each, str) for each in found.values()
    ):
        raise _wrong(place, f"{key} is not a table of strings")
    return found


def _only(table: Mapping[str, Any], keys: tuple[str, ...], place: str = "") -> None:
    for key in table:
        if key not in keys:
            known = ", ".join(keys)
            raise _wrong(place, f"unknown setting {key!r}; known: {known}")


def _wrong(place: str, message: str) -> UsageError:
    table = f"{TABLE}.{place}".rstrip(".")
    return UsageError(f"pyproject.toml: [{table}]: {message}")
