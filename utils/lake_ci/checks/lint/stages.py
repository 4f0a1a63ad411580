"""Creates all checks of the Python code, and the formatters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lake_ci.checks.lint.imports import Imports
from lake_ci.checks.lint.locks import Locks
from lake_ci.checks.lint.style import Black, Flake8, Format, Isort, Mypy, SortImports
from lake_ci.runner.check import Check
from lake_ci.runner.options import Parser


@dataclass(frozen=True)
class LintOptions:
    """The options of `nox -s lint`: paths for flake8, mypy, isort and black."""

    paths: Sequence[str]

    @property
    def partial(self) -> bool:
        """Whether only the paths after `--` are checked."""
        return bool(self.paths)


def parser() -> Parser:
    """Return the parser of the options of `nox -s lint`."""
    parser = Parser("nox -s lint --", "Check style, types, locks and the workflow.")
    parser.add_argument(
        "paths", nargs="*", help="files or folders for flake8, mypy, isort and black"
    )
    return parser


def options(posargs: Sequence[str]) -> LintOptions:
    """Parse the options after `--`. Raises UsageError."""
    return LintOptions(parser().parse_args(list(posargs)).paths)


def checks() -> list[Check]:
    """Return the checks, slowest first. They run in parallel."""
    return [Flake8(), Mypy(), Isort(), Black(), Imports(), Locks()]


def formatters() -> list[Check]:
    """Return the formatters of `nox -s format`."""
    return [SortImports(), Format()]
