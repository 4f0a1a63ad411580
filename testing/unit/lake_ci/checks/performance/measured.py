"""Defines a benchmark whose processes are fakes with given measurements."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lake_ci.checks.performance.baseline import Baseline, InstallVersion, Side
from lake_ci.checks.performance.benchmark import Benchmark, BenchmarkSpec
from lake_ci.checks.performance.options import PerformanceOptions
from lake_ci.model.results import Outcome
from lake_ci.runner.check import CheckContext
from lake_ci.system.environment import Environment
from lake_ci.system.processes import Completed

MERGE = BenchmarkSpec(
    "testing/performance/test_merges.py::test_merge",
    "merge",
    "testing/performance/test_merges.py",
    30,
    ("utils/lakekit/*",),
)
ONCE = PerformanceOptions(seconds=0)
# Rounds that differ slightly.
EVEN = [0.100, 0.102, 0.101, 0.103, 0.100, 0.101]
WILD = [0.100, 0.190, 0.110, 0.250, 0.090, 0.170]


def side(root: Path, name: str) -> Side:
    return Side(name, root / ".cache" / name, root, Environment(root / ".nox" / name))


class Runs:
    """Fakes the processes of both versions: writes the file that pytest-benchmark would
    write.
    """

    def __init__(
        self,
        old: list[float],
        new: list[float],
        *,
        cpu: tuple[float, float] = (0.1, 0.1),
        parts: tuple[float, float] | None = None,
        peaks: tuple[float, float] = (100.0, 100.0),
        fails: str | None = None,
        says: str = "",
    ) -> None:
        self.seconds = {"old": old, "new": new}
        self.cpu = dict(zip(("old", "new"), cpu))
        self.parts = dict(zip(("old", "new"), parts)) if parts else {}
        self.peaks = dict(zip(("old", "new"), peaks))
        self.fails, self.says = fails, says
        self.started: list[str] = []

    def clock(self) -> float:
        """Return the time of a fake clock. The clock advances by a second for each
        process.
        """
        return float(len(self.started))

    def __call__(self, argv: list[str], **given: Any) -> Completed:
        name = given["env"]["LAKE_CI_SIDE"]
        self.started.append(name)
        if name == self.fails:
            return Completed(tuple(argv), 1, self.says, "", 0.1)
        [file] = [
            each.partition("=")[2]
            for each in argv
            if each.startswith("--benchmark-json=")
        ]
        rounds = self.seconds[name]
        more = {
            "parts": {
                part: [self.parts[name]] * len(rounds)
                for part in (["silver.orders"] if self.parts else [])
            },
            "cpu": {"": [self.cpu[name]] * len(rounds)},
            "peak_mb": self.peaks[name],
        }
        body = {"benchmarks": [{"stats": {"data": rounds}, "extra_info": more}]}
        Path(file).write_text(json.dumps(body), encoding="utf-8")
        return Completed(tuple(argv), 0, "", "", 0.1)


def benchmark(
    ctx: CheckContext,
    *,
    old: bool = True,
    differs: set[str] | None = None,
    given: PerformanceOptions = ONCE,
    spec: BenchmarkSpec = MERGE,
    clock: Callable[[], float] = lambda: 0.0,
) -> Benchmark:
    before = Baseline({}, None)
    before.commit = "b" * 40 if old else None
    installed, new = InstallVersion("baseline wheel", before), InstallVersion("wheel")
    new.side = side(ctx.root, "new")
    installed.side = side(ctx.root, "old") if old else None
    return Benchmark(spec, given, before, installed, new, differs, clock=clock)


def judged(ctx: CheckContext, runs: Runs, **how: Any) -> Outcome:
    ctx.execute = runs
    return benchmark(ctx, clock=runs.clock, **how).run(ctx)
