"""Parses the options of `nox -s performance`, with defaults from pyproject.toml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci.model.settings import read_settings
from lake_ci.runner.options import Parser


@dataclass(frozen=True)
class PerformanceOptions:
    """The options after `--`, with defaults from `[tool.lake_ci.performance]`.

    Attributes:
        baseline: the commit to compare with; if None, the previous commit.
        every: whether to run all benchmarks, even if their code did not change.
        select: the expression for pytest's option `-k`.
        generations: the minimum number of pairs of processes per benchmark; if None,
            each benchmark declares the number.
        seconds: the time per benchmark after which no more pairs of processes are
            started.
        threshold: the ratio of seconds, new / old, above which a benchmark fails.
        memory: the ratio of peak memory, new / old, above which a benchmark fails.
        width: an interval is narrow enough if half its width is at most this value.
    """

    baseline: str | None = None
    every: bool = False
    select: str | None = None
    generations: int | None = None
    seconds: float = 30.0
    threshold: float = 1.15
    memory: float = 1.25
    width: float = 0.03

    @property
    def partial(self) -> bool:
        """Whether `select` may exclude benchmarks from the run."""
        return self.select is not None


def parser() -> Parser:
    """Return the parser of the options of `nox -s performance`."""
    parser = Parser("nox -s performance --", "Compare this tree with a baseline.")
    parser.add_argument(
        "--baseline",
        metavar="COMMIT",
        help="the baseline (default: the previous commit)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also run benchmarks whose code did not change",
    )
    parser.add_argument("-k", dest="select", help="select benchmarks, as in pytest")
    parser.add_argument(
        "--generations",
        type=int,
        help="minimum number of pairs of processes per benchmark",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="time limit per benchmark (default: [tool.lake_ci.performance])",
    )
    return parser


def options(posargs: Sequence[str], root: Path) -> PerformanceOptions:
    """Parse the options after `--`, which override pyproject.toml.

    Raises UsageError.
    """
    declared = read_settings(root).performance
    typed = parser().parse_args(list(posargs))
    if typed.generations is not None and typed.generations < 1:
        parser().error("--generations must be at least 1")
    seconds = declared.seconds if typed.seconds is None else typed.seconds
    return PerformanceOptions(
        baseline=typed.baseline,
        every=typed.all,
        select=typed.select,
        generations=typed.generations,
        seconds=float(seconds),
        threshold=declared.threshold,
        memory=declared.memory_threshold,
        width=declared.interval,
    )
