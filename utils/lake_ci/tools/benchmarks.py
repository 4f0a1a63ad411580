"""Benchmarks of two versions in turns: the same code drives both, and only what is surely slower fails."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from lake_ci import git
from lake_ci.errors import UsageError
from lake_ci.intervals import Interval, Verdict, compare
from lake_ci.measurements import Figures, Measured, Record, append, machine, read, to_line
from lake_ci.processes import Completed
from lake_ci.report import trend
from lake_ci.results import REPORTS, TIME_FORMAT, Finding, Outcome, Status, count, write_whole
from lake_ci.tools.baseline import LOCK, Baseline, Install, Side, changed
from lake_ci.tools.locks import read_project
from lake_ci.tools.tool import Tool, Workbench, crashed, stopped
from lake_ci.turns import Turns

FOLDER = "testing/performance"
HISTORY = f"{REPORTS}/.history/performance.jsonl"
# What any benchmark's figures may depend on.
ALWAYS = (LOCK, "requirements/jars.txt", "pyproject.toml", f"{FOLDER}/*")
ROUNDS, WARM_UPS = 6, 1
# A part that takes less in both versions is not judged: the clock and the scheduler make its figures.
SHORTEST_SECONDS = 0.01
# What a version raises that does not have something yet.
LACKING = re.compile(
    r"(?:ImportError|ModuleNotFoundError|AttributeError|TypeError: .*(?:unexpected keyword|positional argument)).*"
)


@dataclass(frozen=True)
class Options:
    """What was typed after `--`, and pyproject.toml's `[tool.lake_ci.performance]`.

    Attributes:
        baseline: the commit to compare with; None for the one before.
        every: whether benchmarks run whose code did not change.
        select: pytest's `-k`.
        generations: the fewest pairs of processes of each benchmark; None for what it declares.
        seconds: no further pair of processes is started after so many of them for one benchmark.
        threshold: the ratio, new by old, beyond which seconds fail.
        memory: likewise for peak memory.
        width: half an interval's width from which it is narrow enough.
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
        """Whether fewer benchmarks are run than the job asks for."""
        return self.select is not None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"nox -s performance -- ...: {message}")


def options(posargs: Sequence[str], root: Path) -> Options:
    """Read what was typed after `--`, over what pyproject.toml says. Raises UsageError."""
    declared = read_project(root)["tool"]["lake_ci"]["performance"]
    parser = _Parser(prog="nox -s performance --", add_help=False, allow_abbrev=False)
    parser.add_argument("--baseline")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("-k", dest="select")
    parser.add_argument("--generations", type=int)
    parser.add_argument("--seconds", type=float, default=float(declared["seconds"]))
    typed = parser.parse_args(list(posargs))
    if typed.generations is not None and typed.generations < 1:
        parser.error("--generations is a number from 1 on")
    return Options(
        baseline=typed.baseline,
        every=typed.all,
        select=typed.select,
        generations=typed.generations,
        seconds=typed.seconds,
        threshold=float(declared["threshold"]),
        memory=float(declared["memory_threshold"]),
        width=float(declared["interval"]),
    )


@dataclass(frozen=True)
class Declared:
    """A benchmark as pytest collects it."""

    id: str
    name: str
    file: str
    line: int
    exercises: tuple[str, ...]
    generations: int = 4
    rounds: int = ROUNDS


def declared(rows: Sequence[Mapping[str, Any]]) -> list[Declared]:
    """What the list that conftest.py wrote says. Raises KeyError, TypeError or ValueError for another."""
    return [
        Declared(
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
    """pytest in a version's environment, on the benchmarks of this tree."""
    # pyproject.toml puts this tree's packages on the path, and makes an old version's warnings errors.
    own = ["--override-ini=pythonpath=", "--override-ini=filterwarnings=", "-p", "no:cacheprovider"]
    return [str(side.python), "-m", "pytest", "-q", "--no-header", "--color=no", *own, *arguments]


class Collect(Tool):
    """The benchmarks there are, and those that only the baseline has."""

    name = "benchmarks"
    alone = True

    def __init__(self, options: Options, baseline: Baseline, old: Install, new: Install) -> None:
        self.options = options
        self.baseline = baseline
        self.old = old
        self.new = new
        self.benchmarks: list[Benchmark] = []

    def run(self, bench: Workbench) -> Outcome:
        if self.new.side is None:
            return Outcome(Status.SKIPPED, "the wheel was not built")
        listed = self._listed(bench, self.new.side, bench.root)
        if isinstance(listed, Outcome):
            return listed
        if not listed:
            why = (
                f"no benchmark matches -k {self.options.select!r}"
                if self.options.select
                else "there are none"
            )
            return Outcome.failure(self.name, "none", why, file=FOLDER)
        differs = changed(bench.root, self.baseline.commit) if self.baseline.commit else None
        self.benchmarks = [Benchmark(each, self, differs) for each in listed]
        detail = count(len(listed), "benchmark")
        if self.old.side is None or not (self.old.side.tree / FOLDER).is_dir() or self.options.partial:
            return Outcome(Status.SUCCESS, detail)
        before = self._listed(bench, self.old.side, self.old.side.tree)
        if isinstance(before, Outcome):
            return Outcome(Status.SUCCESS, f"{detail}; those of the baseline cannot be listed")
        removed = sorted({each.name for each in before} - {each.name for each in listed})
        return Outcome(
            Status.SUCCESS,
            f"{detail}; removed since the baseline: {', '.join(removed)}" if removed else detail,
            data={"removed": removed},
        )

    def _listed(self, bench: Workbench, side: Side, tree: Path) -> list[Declared] | Outcome:
        file = bench.reports / f".list-{side.name}.json"
        select = ["-k", self.options.select] if self.options.select else []
        env = {**side.variables(bench), "LAKE_CI_LIST": str(file)}
        done = bench.execute(pytest_command(side, FOLDER, "--collect-only", *select), env=env, cwd=tree)
        try:
            if done.code not in (0, 5):
                return stopped(self.name, done) or crashed(self.name, done)
            return declared(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            # The benchmarks of a version from before the gate leave no list, and none of them is one of the gate's.
            return []
        finally:
            file.unlink(missing_ok=True)


class History(Tool):
    """What was measured is kept: benchmarks.json of this run, a line in the history, and its picture."""

    name = "history"
    alone = True

    def __init__(self, collect: Collect) -> None:
        self.collect = collect

    def run(self, bench: Workbench) -> Outcome:
        measured = {each.name: each.measured for each in self.collect.benchmarks if each.measured}
        if not measured:
            return Outcome(Status.SKIPPED, "nothing was measured")
        record = Record(
            commit=git.commit(bench.root),
            baseline=self.collect.baseline.commit,
            dirty=git.is_dirty(bench.root),
            made=datetime.now(timezone.utc).strftime(TIME_FORMAT),
            machine=machine(),
            benchmarks=measured,
        )
        write_whole(bench.reports / "benchmarks.json", to_line(record))
        path = bench.root / HISTORY
        # A part of the benchmarks is shown and not kept.
        if not self.collect.options.partial:
            append(path, [record])
        records, unread = read(path)
        if self.collect.options.partial:
            records.append(record)
        write_whole(bench.reports / "history.svg", trend.draw(records))
        detail = f"{count(len(records), 'run')} in {HISTORY}"
        if unread:
            return Outcome(Status.WARNING, f"{detail}; {count(unread, 'line')} of it cannot be read")
        return Outcome(Status.SUCCESS, detail)


@dataclass
class Rounds:
    """What one process measured: seconds of the whole under "", of parts under their names, and of the processor."""

    series: dict[str, list[float]]
    cpu: dict[str, list[float]]
    peak_mb: float


@dataclass(frozen=True)
class Compared:
    """One series in two clocks: what a person waits for, and the seconds of the processor (None: too few to count)."""

    wall: Interval
    cpu: Interval | None = None

    def verdict(self, threshold: float) -> Verdict:
        """What the clock says; where it cannot tell, for the machine is busy with other things, what the processor says.

        The processor's word for "not slower" is taken only where the clock's best guess agrees: waiting costs no
        processor time.
        """
        said = self.wall.verdict(threshold)
        if said is not Verdict.UNDECIDED or self.cpu is None:
            return said
        second = self.cpu.verdict(threshold)
        return Verdict.UNDECIDED if second is Verdict.FINE and self.wall.ratio > threshold else second

    @property
    def narrower(self) -> Interval:
        """The clock that tells more."""
        if self.cpu is not None and self.cpu.half_width < self.wall.half_width:
            return self.cpu
        return self.wall

    def __str__(self) -> str:
        """`1.31 times the baseline (1.28 to 1.34)`."""
        text = f"{self.wall.ratio:.2f} times the baseline ({self.wall.low:.2f} to {self.wall.high:.2f})"
        if self.cpu is None or self.narrower is self.wall:
            return text
        return f"{text}, of the processor {self.cpu.ratio:.2f} ({self.cpu.low:.2f} to {self.cpu.high:.2f})"


@dataclass
class Generations:
    """What all pairs of processes of a benchmark measured, so far."""

    old: list[Rounds] = field(default_factory=list)
    new: list[Rounds] = field(default_factory=list)

    def compared(self) -> dict[str, Compared]:
        """The ratios of each series that every process has, and that is long enough to be judged."""
        found = {}
        for name in self.new[0].series:
            if not all(name in each.series for each in (*self.old, *self.new)):
                continue
            if name and max(_median(self.old, name), _median(self.new, name)) < SHORTEST_SECONDS:
                continue
            wall = compare([each.series[name] for each in self.old], [each.series[name] for each in self.new])
            old, new = ([each.cpu.get(name, []) for each in side] for side in (self.old, self.new))
            counted = all(turn and min(turn) >= SHORTEST_SECONDS / 2 for turn in (*old, *new))
            found[name] = Compared(wall, compare(old, new) if counted else None)
        return found

    def measured(self) -> Measured:
        """The figures to keep."""
        compared = self.compared() if self.old else {}
        figures = {}
        for name in self.new[0].series:
            figures[name] = Figures(round(_median(self.new, name), 6))
            if name in compared:
                found = compared[name].narrower
                figures[name] = Figures(
                    round(_median(self.new, name), 6),
                    round(_median(self.old, name), 6),
                    round(found.ratio, 4),
                    round(found.low, 4),
                    round(found.high, 4),
                    pairs=found.pairs,
                )
        new = statistics.median(each.peak_mb for each in self.new)
        old = round(statistics.median(each.peak_mb for each in self.old), 1) if self.old else None
        return Measured(figures, round(new, 1), old)

    def memory(self) -> tuple[float, float] | None:
        """The smallest and the largest ratio of peak memory of a pair; None where the system tells no peaks."""
        ratios = [new.peak_mb / old.peak_mb for old, new in zip(self.old, self.new) if old.peak_mb > 0]
        return (min(ratios), max(ratios)) if ratios else None


def _median(side: Sequence[Rounds], name: str) -> float:
    return statistics.median(seconds for each in side for seconds in each.series.get(name, ()))


class Benchmark(Tool):
    """No slower and no larger than the baseline, by intervals that noise does not fool."""

    alone = True

    def __init__(self, declared: Declared, collect: Collect, differs: set[str] | None) -> None:
        self.name = declared.name
        self.declared = declared
        self.collect = collect
        self.options = collect.options
        self.differs = differs
        self.measured: Measured | None = None

    def run(self, bench: Workbench) -> Outcome:
        new, old = self.collect.new.side, self.collect.old.side
        assert new is not None  # otherwise nothing was collected
        if self.collect.baseline.commit is not None and old is None:
            return Outcome(Status.SKIPPED, "the baseline could not be built")
        if self.unchanged() and not self.options.every:
            patterns = ", ".join(self.declared.exercises)
            return Outcome(
                Status.SKIPPED, f"nothing it exercises has changed ({patterns}); `-- --all` runs it"
            )
        found = Generations()
        minimum = self.options.generations or self.declared.generations
        begun = time.monotonic()
        while True:
            ended = self._generation(bench, [side for side in (old, new) if side], len(found.new))
            if ended["new"].code != 0:
                return stopped(self.name, ended["new"]) or self._crash(ended["new"])
            found.new.append(self._read(bench, "new"))
            if old is None:
                self.measured = found.measured()
                return Outcome(
                    Status.SUCCESS, f"{self._seconds()}; nothing to compare with", data=self._data()
                )
            if ended["old"].code != 0:
                found.old.clear()
                self.measured = found.measured()
                return self._without_old(ended["old"])
            found.old.append(self._read(bench, "old"))
            if len(found.new) >= minimum and (
                self._tells(found) or time.monotonic() - begun > self.options.seconds
            ):
                return self._judge(found)

    def unchanged(self) -> bool:
        """Whether no file differs that the benchmark's figures can depend on; false where that is not known."""
        if self.differs is None or not self.declared.exercises:
            return False
        patterns = (*ALWAYS, *self.declared.exercises)
        return not any(fnmatchcase(file, pattern) for file in self.differs for pattern in patterns)

    def _generation(self, bench: Workbench, sides: Sequence[Side], number: int) -> dict[str, Completed]:
        """Run one pair of processes to their end, in turns."""
        with Turns() as turns, ThreadPoolExecutor(len(sides)) as pool:
            running: dict[str, Future[Completed]] = {}
            for side in sides:
                file = self._file(bench, side.name)
                file.unlink(missing_ok=True)
                env = {
                    **side.variables(bench),
                    "LAKE_CI_TURNS": turns.address,
                    "LAKE_CI_ROUNDS": str(self.declared.rounds),
                    # The same dice for both, others for the next pair.
                    "PYTHONHASHSEED": str(number + 1),
                    "PYTHONDONTWRITEBYTECODE": "1",
                }
                scratch = (
                    side.folder / "scratch"
                )  # emptied by each process, and no litter in the system's folder
                command = pytest_command(side, self.declared.id, f"--benchmark-json={file}")
                command.append(f"--basetemp={scratch}")
                running[side.name] = pool.submit(bench.execute, command, env=env)
            names = [side.name for side in sides]
            first = names if number % 2 == 0 else names[::-1]
            turns.grant(first, self.declared.rounds + WARM_UPS, lambda name: not running[name].done())
            return {name: future.result() for name, future in running.items()}

    def _file(self, bench: Workbench, side: str) -> Path:
        return bench.reports / f".{self.name}-{side}.json"

    def _read(self, bench: Workbench, side: str) -> Rounds:
        file = self._file(bench, side)
        [body] = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        file.unlink()
        more = body["extra_info"]
        parts = {str(name): list(map(float, each)) for name, each in more["parts"].items()}
        cpu = {str(name): list(map(float, each)) for name, each in more["cpu"].items()}
        return Rounds({"": list(map(float, body["stats"]["data"])), **parts}, cpu, float(more["peak_mb"]))

    def _tells(self, found: Generations) -> bool:
        """Whether another pair would tell nothing more that is asked for."""
        compared = found.compared()
        undecided = any(
            each.verdict(self.options.threshold) is Verdict.UNDECIDED for each in compared.values()
        )
        return not undecided and compared[""].narrower.half_width <= self.options.width

    def _judge(self, found: Generations) -> Outcome:
        self.measured = found.measured()
        threshold = self.options.threshold
        compared = found.compared()
        verdicts = {name: each.verdict(threshold) for name, each in compared.items()}
        slower = [name for name, verdict in verdicts.items() if verdict is Verdict.SLOWER]
        findings = [
            self._finding("slower", f"{self._named(name)} takes {compared[name]}; {threshold:g} allowed")
            for name in slower
        ]
        memory = found.memory()
        if memory is not None and memory[0] > self.options.memory:
            times = f"{memory[0]:.2f} to {memory[1]:.2f} times the baseline's peak memory"
            findings.append(
                self._finding("memory", f"{self.name} holds {times}; {self.options.memory:g} allowed")
            )
        detail = f"{self._seconds()}, {compared['']}; detects {compared[''].narrower.detects(threshold):.2f}"
        if findings:
            what = ["more memory"] * any(each.rule == "memory" for each in findings)
            what += [f"slower: {', '.join(name or 'the whole' for name in slower)}"] if slower else []
            return Outcome(
                Status.FAILURE, f"{'; '.join(what)}; {detail}", tuple(findings), data=self._data(found)
            )
        undecided = {
            name: compared[name] for name, verdict in verdicts.items() if verdict is Verdict.UNDECIDED
        }
        if undecided:
            return Outcome(Status.WARNING, f"{detail}; {self._more(undecided)}", data=self._data(found))
        return Outcome(Status.SUCCESS, detail, data=self._data(found))

    def _more(self, undecided: Mapping[str, Compared]) -> str:
        """Which series cannot be told, and how many generations would."""
        threshold = self.options.threshold
        needed = [each.narrower.pairs_needed(threshold) for each in undecided.values()]
        names = ", ".join(name or "the whole" for name in undecided)
        if any(each is None for each in needed):
            return f"cannot tell for {names}: too near {threshold:g} for any number of rounds"
        pairs = max(each for each in needed if each is not None)
        generations = -(-pairs // self.declared.rounds)
        again = f"nox -s performance -- -k {self.name} --generations {generations}"
        return f"cannot tell for {names}: about {pairs} rounds would (`{again}`)"

    def _without_old(self, ended: Completed) -> Outcome:
        """The row where the baseline could not run the benchmark."""
        said = [line[1:].strip() for line in ended.stdout.splitlines() if line.startswith("E  ")]
        why = said[-1] if said else (ended.last_lines(1) or f"exit code {ended.code}")
        lacking = next((line for line in reversed(said) if LACKING.match(line)), None)
        if lacking is not None:
            detail = f"new: {self._seconds()}; the baseline lacks it ({lacking})"
            return Outcome(Status.SUCCESS, detail, data=self._data())
        detail = f"{self._seconds()}; the baseline could not run it: {why}"
        return Outcome(Status.WARNING, detail, data=self._data())

    def _crash(self, done: Completed) -> Outcome:
        said = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")]
        outcome = crashed(self.name, done, said[-1] if said else None)
        finding = outcome.findings[0]
        placed = Finding(finding.tool, finding.rule, finding.message, self.declared.file, self.declared.line)
        return Outcome(Status.FAILURE, outcome.detail, (placed,))

    def _finding(self, rule: str, message: str) -> Finding:
        return Finding("performance", rule, message, self.declared.file, self.declared.line)

    def _named(self, part: str) -> str:
        return f"{self.name}, {part}," if part else self.name

    def _seconds(self) -> str:
        assert self.measured is not None
        return f"{self.measured.series[''].seconds:.3g} s"

    def _data(self, found: Generations | None = None) -> dict[str, Any]:
        """What result.json keeps: the table of the report, and every round."""
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
        rows.append(["peak memory, MB", self.measured.peak_mb, self.measured.old_peak_mb])
        data: dict[str, Any] = {"panel": {"title": self.name, "columns": columns, "rows": rows}}
        if found is not None:
            data["intervals"] = {name: self._interval(each) for name, each in found.compared().items()}
            data["rounds"] = {
                side: [
                    {"seconds": each.series[""], "cpu": each.cpu[""], "peak_mb": round(each.peak_mb, 1)}
                    for each in rounds
                ]
                for side, rounds in (("old", found.old), ("new", found.new))
            }
        return data

    def _interval(self, compared: Compared) -> dict[str, Any]:
        """Both clocks, the verdict, and the smallest effect that would be detected."""
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
