"""The packages that the locks pin, and the newest ones that the wheel's requirements
allow.
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
from lake_ci.runner.check import Workbench
from lake_ci.system.environment import uv_program
from lake_ci.system.pyproject import read_project

CACHE = ".cache/resolved"
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
COMPILE = (
    "pip compile pyproject.toml --all-extras --universal --no-header --no-annotate"
    " --quiet".split()
)


@dataclass(frozen=True)
class Pin:
    """A package of one version, and where it is written."""

    name: str
    version: str
    file: str
    line: int


def locks(root: Path) -> list[Path]:
    """The locks of Python packages."""
    return [
        path
        for path in sorted((root / FOLDER).glob("*.txt"))
        if path.name != "jars.txt"
    ]


def locked(path: Path, root: Path) -> Iterator[Pin]:
    """What a lock pins; a package may stand there several times, with markers."""
    file = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = PIN.match(line)
        if match:
            yield Pin(normal(match[1]), match[2], file, number)


def normal(name: str) -> str:
    """A package's name as all of its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(bench: Workbench, today: date) -> Path | None:
    """A file of the newest that the wheel and its extras allow; None where it could not
    be resolved.

    The index is asked once a day, and after a change of pyproject.toml.
    """
    digest = hashlib.sha256((bench.root / "pyproject.toml").read_bytes()).hexdigest()[
        :12
    ]
    folder = bench.root / CACHE
    resolved = folder / f"{today}-{digest}.txt"
    if not resolved.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        floor = read_project(bench.root)["project"]["requires-python"].strip("><=~ ")
        scratch = folder / ".scratch"
        command = [
            uv_program() or "uv",
            *COMPILE,
            "--python-version",
            floor,
            "--output-file",
            str(scratch),
        ]
        if bench.execute(command).code != 0 or not scratch.exists():
            return None
        scratch.replace(resolved)
    return resolved


def required(path: Path, root: Path) -> Iterator[Pin]:
    """What was resolved for the wheel; its place is the requirement in pyproject.toml,
    or the list of them.
    """
    lines = (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    otherwise = next(
        (
            number
            for number, line in enumerate(lines, 1)
            if line.startswith("dependencies")
        ),
        1,
    )
    for pin in locked(path, root):
        named = re.compile(rf'"{re.escape(pin.name)}\b')
        line = next(
            (number for number, line in enumerate(lines, 1) if named.search(line)),
            otherwise,
        )
        yield Pin(pin.name, pin.version, "pyproject.toml", line)
