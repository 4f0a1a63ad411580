"""Reads pyproject.toml, and the suite's settings in `[tool.lake_ci]`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lake_ci.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "pyproject.toml"


def normalized_name(name: str) -> str:
    """Return a package name in the normalized form that package indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_project(root: Path) -> dict[str, Any]:
    """Return the content of pyproject.toml.

    Raises:
        UsageError: the file cannot be read or is not TOML.
    """
    try:
        text = (root / FILE).read_text(encoding="utf-8")
        project: dict[str, Any] = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"{FILE}: {error}") from None
    return project


def setting_line(root: Path, table: str, name: str) -> int | None:
    """Return the number of the line that contains a text, in a table of pyproject.toml.

    Tables inside this table are searched, too. If no line contains the text, return the
    first line of the table.
    """
    lines = (root / FILE).read_text(encoding="utf-8").splitlines()
    inside = dict(_inside(lines, table))
    quoted = re.escape(name)
    for pattern in (rf'^"?{quoted}"?\s*=', rf"(?<![\w.-]){quoted}(?![\w.-])"):
        for number, line in inside.items():
            if re.search(pattern, line):
                return number
    return min(inside, default=None)


def _inside(lines: Sequence[str], table: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a table and of the tables inside it, except comments."""
    inside = False
    for number, line in enumerate(lines, 1):
        if line.startswith("["):
            inside = f"{line.strip('[] ')}.".startswith(f"{table}.")
        if inside and not line.startswith("#"):
            yield number, line
