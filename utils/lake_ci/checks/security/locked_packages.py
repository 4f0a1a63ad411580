"""Reads the package versions that the lock files pin.

This module also resolves the newest versions that the wheel's requirements allow.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lake_ci.checks.lint.locks import FOLDER
from lake_ci.errors import UsageError
from lake_ci.runner.check import CheckContext
from lake_ci.system.environment import uv_program
from lake_ci.system.pyproject import normalized_name, read_project

CACHE = ".cache/resolved"
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
# `>=3.9`, `~=3.9` or `==3.9.*`.
OLDEST = re.compile(r"(?:>=|~=|==)\s*(\d+(?:\.\d+)*)")
COMPILE = (
    "pip compile pyproject.toml --all-extras --universal --no-header --no-annotate"
    " --quiet".split()
)


@dataclass(frozen=True)
class Pin:
    """A package's pinned version, with the file and line of the pin."""

    name: str
    version: str
    file: str
    line: int


def locks(root: Path) -> list[Path]:
    """Return the paths of the lock files that pin Python packages."""
    return [
        path
        for path in sorted((root / FOLDER).glob("*.txt"))
        if path.name != "jars.txt"
    ]


def lock_pins(path: Path, root: Path) -> Iterator[Pin]:
    """Yield the pins in a lock file; a package with markers may have several pins."""
    file = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = PIN.match(line)
        if match:
            yield Pin(normalized_name(match[1]), match[2], file, number)


def resolve(ctx: CheckContext, today: date) -> Path | None:
    """Write a file of the newest package versions that the wheel and its extras allow.

    The file is reused for a day, as long as pyproject.toml does not change.

    Returns:
        The file, or None if the versions cannot be resolved.
    """
    digest = hashlib.sha256((ctx.root / "pyproject.toml").read_bytes()).hexdigest()[:12]
    folder = ctx.root / CACHE
    resolved = folder / f"{today}-{digest}.txt"
    if not resolved.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scratch = folder / ".scratch"
        command = [
            *(uv_program() or "uv", *COMPILE),
            *("--python-version", oldest_python(ctx.root)),
            *("--output-file", str(scratch)),
        ]
        done = ctx.execute(command, env=ctx.env_of("packages"))
        if done.code != 0 or not scratch.exists():
            return None
        scratch.replace(resolved)
    return resolved


def oldest_python(root: Path) -> str:
    """Return the oldest Python version that `requires-python` allows, such as `3.9`.

    Raises:
        UsageError: `requires-python` is missing, or names no oldest version.
    """
    text = str(read_project(root).get("project", {}).get("requires-python", ""))
    found = OLDEST.search(text)
    if found is None:
        raise UsageError(
            f"pyproject.toml: requires-python is {text!r}, without an oldest version;"
            ' write for example ">=3.9"'
        )
    return found[1]


def wheel_pins(path: Path, root: Path) -> Iterator[Pin]:
    """Yield the wheel's resolved packages as pins, with lines in pyproject.toml."""
    lines = (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    otherwise = next(
        (
            number
            for number, line in enumerate(lines, 1)
            if line.startswith("dependencies")
        ),
        1,
    )
    for pin in lock_pins(path, root):
        named = re.compile(rf'"{re.escape(pin.name)}\b')
        line = next(
            (number for number, line in enumerate(lines, 1) if named.search(line)),
            otherwise,
        )
        yield Pin(pin.name, pin.version, "pyproject.toml", line)
