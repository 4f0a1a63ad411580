"""Runs one benchmark on two versions; the versions take turns after each round.

The check fails only if the new version is significantly slower.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lake_ci.checks.performance.baseline import LOCK, Baseline, InstallVersion, Side
from lake_ci.checks.performance.history import Measurement
from lake_ci.checks.performance.interleaving import TurnServer
from lake_ci.checks.performance.options import PerformanceOptions
from lake_ci.checks.performance.samples import Rounds, Samples, SeriesRatio
from lake_ci.checks.performance.statistics import SpeedVerdict
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Check, CheckContext, crashed, stopped
from lake_ci.system.processes import Completed

FOLDER = "testing/performance"
# Patterns of the files that every benchmark depends on.
ALWAYS = (LOCK, "requirements/jars.txt", "pyproject.toml", f"{FOLDER}/*")
ROUNDS, WARM_UPS = 6, 1
# The errors that a version raises if it does not contain the benchmarked code yet.
LACKING = re.compile(
    r"(?:ImportError|ModuleNotFoundError|AttributeError|TypeError: .*(?:unexpected"
    r" keyword|positional argument)).*"
)


@dataclass(frozen=True)
class BenchmarkSpec:
    """A benchmark that pytest has collected."""

    id: str
    name: str
    file: str
    line: int
    exercises: tuple[str, ...]
    generations: int = 4
    rounds: int = ROUNDS


def read_specs(rows: Sequence[Mapping[str, Any]]) -> list[BenchmarkSpec]:
    """Convert the list of benchmarks that testing/performance/conftest.py writes.

    Raises:
        KeyError, TypeError, ValueError: the list does not have this format.
    """
    return [
        BenchmarkSpec(
            row["id"],
            row["name"],
            row["file"],
            int(row["line"]),
            tuple(row["exercises"]),
            **{key: int(value) for key, value in row["gate"].items()},
        )
        for row in rows
    ]


def pytest_command(side: Side, *arguments: str) -> list[str]:
    """Return the command that runs this checkout's benchmarks on a version."""
    # Override two settings of pyproject.toml. `pythonpath` would add this checkout's
    # packages to the path. `filterwarnings` would turn each warning of the baseline's
    # code into an error.
    own = [
        "--override-ini=pythonpath=",
        "--override-ini=filterwarnings=",
        "-p",
        "no:cacheprovider",
    ]
    return [
        str(side.python),
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--color=no",
        *own,
        *arguments,
    ]


class Benchmark(Check):
    """Check that a benchmark needs no more time or memory than with the baseline."""

    exclusive = True

    def __init__(
        self,
        spec: BenchmarkSpec,
        options: PerformanceOptions,
        baseline: Baseline,
        old: InstallVersion,
        new: InstallVersion,
        differs: set[str] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.options = options
        self.baseline, self.old, self.new = baseline, old, new
        self.differs = differs
        self.clock = clock
        self.measured: Measurement | None = None

    def run(self, ctx: CheckContext) -> Outcome:
        new, old = self.new.side, self.old.side
        assert new is not None  # if `new` is None, no benchmark is collected
        reason = self._skip_reason(old)
        if reason is not None:
            return Outcome(Status.SKIPPED, reason)
        sides = [new] if old is None else [old, new]
        found = Samples()
        begun = self.clock()
        while True:
            ended = self._generation(ctx, sides, len(found.new))
            if ended["new"].code != 0:
                return stopped(self.name, ended["new"]) or self._crash(ended["new"])
            found.new.append(self._read(ctx, "new"))
            if old is None:
                self.measured = found.measured()
                return Outcome(
                    Status.SUCCESS,
                    f"{self._seconds()}; no baseline",
                    data=self._data(),
                )
            if ended["old"].code != 0:
                found.old.clear()
                self.measured = found.measured()
                return self._without_old(ended["old"])
            found.old.append(self._read(ctx, "old"))
            if self._is_enough(found, begun):
                return self._judge(found)

    def _skip_reason(self, old: Side | None) -> str | None:
        """Return why the benchmark is skipped; None if the benchmark runs."""
        if self.baseline.commit is not None and old is None:
            return "the baseline could not be built"
        if self.unchanged() and not self.options.every:
            patterns = ", ".join(self.spec.exercises)
            return f"no change in {patterns}; run it with `-- --all`"
        return None

    def _is_enough(self, found: Samples, begun: float) -> bool:
        """Return whether enough pairs of processes have run, or the time has ended."""
        minimum = self.options.generations or self.spec.generations
        if len(found.new) < minimum:
            return False
        return self._tells(found) or self.clock() - begun > self.options.seconds

    def unchanged(self) -> bool:
        """Return whether all files that the benchmark depends on are unchanged."""
        if self.differs is None or not self.spec.exercises:
            return False
        patterns = (*ALWAYS, *self.spec.exercises)
        return not any(
            fnmatchcase(file, pattern) for file in self.differs for pattern in patterns
        )

    def _generation(
        self, ctx: CheckContext, sides: Sequence[Side], number: int
    ) -> dict[str, Completed]:
        """Run both processes of a pair to the end, taking turns after each round."""
        with TurnServer() as turns, ThreadPoolExecutor(len(sides)) as pool:
            running: dict[str, Future[Completed]] = {}
            for side in sides:
                file = self._file(ctx, side.name)
                file.unlink(missing_ok=True)
                env = {
                    **side.variables(ctx),
                    "LAKE_CI_TURNS": turns.address,
                    "LAKE_CI_ROUNDS": str(self.spec.rounds),
                    # Both processes of a pair have the same seed, but each pair has a
                    # different seed.
                    "PYTHONHASHSEED": str(number + 1),
                    "PYTHONDONTWRITEBYTECODE": "1",
                }
                # Use this folder for temporary files, instead of the system's folder.
                # pytest empties this folder at the start of each process.
                scratch = side.folder / "scratch"
                command = pytest_command(side, self.spec.id, f"--benchmark-json={file}")
                command.append(f"--basetemp={scratch}")
                running[side.name] = pool.submit(ctx.execute, command, env=env)
            names = [side.name for side in sides]
            first = names if number % 2 == 0 else names[::-1]
            turns.grant(
                first,
                self.spec.rounds + WARM_UPS,
                lambda name: not running[name].done(),
            )
            return {name: future.result() for name, future in running.items()}

    def _file(self, ctx: CheckContext, side: str) -> Path:
        return ctx.reports / f".{self.name}-{side}.json"

    def _read(self, ctx: CheckContext, side: str) -> Rounds:
        file = self._file(ctx, side)
        [body] = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        file.unlink()
        more = body["extra_info"]
        parts = {
            str(name): list(map(float, each)) for name, each in more["parts"].items()
        }
        cpu = {str(name): list(map(float, each)) for name, each in more["cpu"].items()}
        return Rounds(
            {"": list(map(float, body["stats"]["data"])), **parts},
            cpu,
            float(more["peak_mb"]),
        )

    def _tells(self, found: Samples) -> bool:
        """Return whether the rounds so far are enough for a verdict.

        The rounds are enough if a ratio is above the threshold. The rounds are also
        enough if all ratios are below the threshold and the interval of the whole
        benchmark is narrow enough.
        """
        compared = found.compared()
        threshold = self.options.threshold
        verdicts = {each.verdict(threshold) for each in compared.values()}
        if SpeedVerdict.SLOWER in verdicts:
            return True
        narrow = compared[""].narrower.half_width <= self.options.width
        return narrow and verdicts == {SpeedVerdict.FINE}

    def _judge(self, found: Samples) -> Outcome:
        self.measured = found.measured()
        threshold = self.options.threshold
        compared = found.compared()
        slower = _with_verdict(compared, SpeedVerdict.SLOWER, threshold)
        undecided = _with_verdict(compared, SpeedVerdict.UNDECIDED, threshold)
        larger = self._larger(found)
        detail = (
            f"{self._seconds()}, {compared['']}; detects"
            f" {compared[''].narrower.detects(threshold):.2f}"
        )
        status, findings = Status.SUCCESS, []
        if larger or slower:
            findings = [
                self._slower(name, each) for name, each in slower.items()
            ] + larger
            what = ["more memory"] if larger else []
            if slower:
                names = ", ".join(name or "the whole" for name in slower)
                what.append(f"slower: {names}")
            status, detail = Status.FAILURE, f"{'; '.join(what)}; {detail}"
        elif undecided:
            status, detail = Status.WARNING, f"{detail}; {self._more(undecided)}"
        return Outcome(status, detail, tuple(findings), data=self._data(found))

    def _slower(self, name: str, compared: SeriesRatio) -> Finding:
        allowed = f"{self.options.threshold:g} allowed"
        return self._finding(
            "slower", f"{self._named(name)} takes {compared}; {allowed}"
        )

    def _larger(self, found: Samples) -> list[Finding]:
        """Return a list with a finding if the new version uses too much memory."""
        memory = found.memory()
        if memory is None or memory[0] <= self.options.memory:
            return []
        times = f"{memory[0]:.2f} to {memory[1]:.2f} times the baseline's peak memory"
        allowed = f"{self.options.memory:g} allowed"
        return [self._finding("memory", f"{self.name} uses {times}; {allowed}")]

    def _more(self, undecided: Mapping[str, SeriesRatio]) -> str:
        """Return a text with the undecided series, and how many rounds each needs."""
        threshold = self.options.threshold
        needed = [each.narrower.pairs_needed(threshold) for each in undecided.values()]
        names = ", ".join(name or "the whole" for name in undecided)
        if any(each is None for each in needed):
            return (
                f"undecided for {names}: too close to {threshold:g} for any number of"
                " rounds"
            )
        pairs = max(each for each in needed if each is not None)
        generations = -(-pairs // self.spec.rounds)
        again = f"nox -s performance -- -k {self.name} --generations {generations}"
        return f"undecided for {names}: about {pairs} rounds are needed (run `{again}`)"

    def _without_old(self, ended: Completed) -> Outcome:
        """Return the outcome of a benchmark that could not run on the baseline."""
        errors = _error_lines(ended)
        why = (
            errors[-1] if errors else (ended.last_lines(1) or f"exit code {ended.code}")
        )
        lacking = next((line for line in reversed(errors) if LACKING.match(line)), None)
        if lacking is not None:
            detail = f"{self._seconds()}; not in the baseline ({lacking})"
            return Outcome(Status.SUCCESS, detail, data=self._data())
        detail = f"{self._seconds()}; failed on the baseline: {why}"
        return Outcome(Status.WARNING, detail, data=self._data())

    def _crash(self, done: Completed) -> Outcome:
        errors = _error_lines(done)
        outcome = crashed(self.name, done, errors[-1] if errors else None)
        finding = outcome.findings[0]
        placed = Finding(
            finding.tool,
            finding.rule,
            finding.message,
            self.spec.file,
            self.spec.line,
        )
        return Outcome(Status.FAILURE, outcome.detail, (placed,))

    def _finding(self, rule: str, message: str) -> Finding:
        return Finding("performance", rule, message, self.spec.file, self.spec.line)

    def _named(self, part: str) -> str:
        return f"{self.name}, {part}," if part else self.name

    def _seconds(self) -> str:
        assert self.measured is not None
        return f"{self.measured.series[''].seconds:.3g} s"

    def _data(self, found: Samples | None = None) -> dict[str, Any]:
        """Return the row's data: a table for the report, intervals and all rounds."""
        assert self.measured is not None
        columns = ["series", "s", "baseline s", "ratio", "from", "to", "rounds"]
        rows = [
            [
                name or "whole",
                each.seconds,
                each.old_seconds,
                each.ratio,
                each.low,
                each.high,
                each.pairs or None,
            ]
            for name, each in self.measured.series.items()
        ]
        rows.append(
            ["peak memory, MB", self.measured.peak_mb, self.measured.old_peak_mb]
        )
        data: dict[str, Any] = {
            "panel": {"title": self.name, "columns": columns, "rows": rows}
        }
        if found is not None:
            data["intervals"] = {
                name: self._interval(each) for name, each in found.compared().items()
            }
            data["rounds"] = {
                side: [
                    {
                        "seconds": each.series[""],
                        "cpu": each.cpu[""],
                        "peak_mb": round(each.peak_mb, 1),
                    }
                    for each in rounds
                ]
                for side, rounds in (("old", found.old), ("new", found.new))
            }
        return data

    def _interval(self, compared: SeriesRatio) -> dict[str, Any]:
        """Return the verdict, `detects`, and the ratio and interval for each clock."""
        clocks = {"wall": compared.wall, "cpu": compared.cpu}
        return {
            "verdict": compared.verdict(self.options.threshold).value,
            "detects": round(compared.narrower.detects(self.options.threshold), 3),
            **{
                name: [round(value, 4) for value in (each.ratio, each.low, each.high)]
                for name, each in clocks.items()
                if each is not None
            },
        }


def _error_lines(done: Completed) -> list[str]:
    """Return the lines of pytest's output that contain errors."""
    return [
        line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")
    ]


def _with_verdict(
    compared: Mapping[str, SeriesRatio], verdict: SpeedVerdict, threshold: float
) -> dict[str, SeriesRatio]:
    """Return the ratios that have this verdict, by the name of the series."""
    return {
        name: each
        for name, each in compared.items()
        if each.verdict(threshold) is verdict
    }
