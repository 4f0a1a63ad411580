"""All the checks of the Python code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lake_ci.checks.lint.imports import Imports
from lake_ci.checks.lint.locks import Locks
from lake_ci.checks.lint.style import Black, Flake8, Format, Isort, Mypy, SortImports
from lake_ci.runner.check import Tool
from lake_ci.runner.options import Parser


@dataclass(frozen=True)
class Options:
    """What was typed after `--`: the paths that flake8, mypy, isort and black take."""

    paths: Sequence[str]

    @property
    def partial(self) -> bool:
        """Whether only some paths are looked at."""
        return bool(self.paths)


def parser() -> Parser:
    """The options of `nox -s lint`."""
    parser = Parser("nox -s lint --", "Check style, types, locks and the workflow.")
    parser.add_argument(
        "paths", nargs="*", help="files or folders for flake8, mypy, isort and black"
    )
    return parser


def options(posargs: Sequence[str]) -> Options:
    """Read what was typed after `--`. Raises UsageError."""
    return Options(parser().parse_args(list(posargs)).paths)


def checks() -> list[Tool]:
    """The longest first, as they run side by side."""
    return [Flake8(), Mypy(), Isort(), Black(), Imports(), Locks()]


def mending() -> list[Tool]:
    """What mends what can be mended."""
    return [SortImports(), Format()]
