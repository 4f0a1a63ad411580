"""What pyproject.toml says of the project, and of the suite in `[tool.lake_ci]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nox.project

from lake_ci.errors import UsageError

FILE = "pyproject.toml"


def read_project(root: Path) -> dict[str, Any]:
    """The content of pyproject.toml. Raises UsageError where it is not TOML."""
    try:
        return nox.project.load_toml(root / FILE)
    except (OSError, ValueError) as error:
        raise UsageError(f"{FILE}: {error}") from None


def settings(root: Path, name: str) -> dict[str, Any]:
    """The table `[tool.lake_ci.<name>]`; empty where there is none, or no
    pyproject.toml.

    Raises:
        UsageError: the file is not TOML, or the name stands for no table.
    """
    if not (root / FILE).exists():
        return {}
    table = read_project(root).get("tool", {}).get("lake_ci", {}).get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{FILE}: tool.lake_ci.{name} is not a table")
    return table
