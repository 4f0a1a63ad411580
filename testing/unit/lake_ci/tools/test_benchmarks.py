"""The gate: what it runs, what it compares, and what it says of it. Processes are answered for by the tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lake_ci import measurements
from lake_ci.environment import Environment
from lake_ci.errors import UsageError
from lake_ci.intervals import Interval, Verdict
from lake_ci.processes import Completed
from lake_ci.results import Outcome, Status
from lake_ci.tools.baseline import Baseline, Install, Side
from lake_ci.tools.benchmarks import (
    HISTORY,
    Benchmark,
    Collect,
    Compared,
    Declared,
    History,
    Options,
    options,
)
from lake_ci.tools.tool import Workbench

MERGE = Declared(
    "testing/performance/test_merges.py::test_merge",
    "merge",
    "testing/performance/test_merges.py",
    30,
    ("utils/lakekit/*",),
)
ANY, ONCE = Options(), Options(seconds=0)
SETTINGS = """
[tool.lake_ci.performance]
threshold = 1.15
memory_threshold = 1.25
interval = 0.03
seconds = 20
"""
# Rounds that are never quite alike, and never far apart.
EVEN = [0.100, 0.102, 0.101, 0.103, 0.100, 0.101]
WILD = [0.100, 0.190, 0.110, 0.250, 0.090, 0.170]


def side(root: Path, name: str) -> Side:
    return Side(name, root / ".cache" / name, root, Environment(root / ".nox" / name))


class Runs:
    """Stands in for both processes of a generation: leaves what pytest-benchmark would."""

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

    def __call__(self, argv: list[str], **given: Any) -> Completed:
        name = given["env"]["LAKE_CI_SIDE"]
        self.started.append(name)
        if name == self.fails:
            return Completed(tuple(argv), 1, self.says, "", 0.1)
        [file] = [each.partition("=")[2] for each in argv if each.startswith("--benchmark-json=")]
        rounds = self.seconds[name]
        more = {
            "parts": {
                part: [self.parts[name]] * len(rounds) for part in (["silver.orders"] if self.parts else [])
            },
            "cpu": {"": [self.cpu[name]] * len(rounds)},
            "peak_mb": self.peaks[name],
        }
        body = {"benchmarks": [{"stats": {"data": rounds}, "extra_info": more}]}
        Path(file).write_text(json.dumps(body), encoding="utf-8")
        return Completed(tuple(argv), 0, "", "", 0.1)


def benchmark(
    bench: Workbench,
    *,
    old: bool = True,
    differs: set[str] | None = None,
    given: Options = ONCE,
    said: Declared = MERGE,
) -> Benchmark:
    before = Baseline({}, None)
    before.commit = "b" * 40 if old else None
    installed, new = Install("baseline wheel", before), Install("wheel")
    new.side = side(bench.root, "new")
    installed.side = side(bench.root, "old") if old else None
    collect = Collect(given, before, installed, new)
    made = Benchmark(said, collect, differs)
    collect.benchmarks = [made]
    return made


def judged(bench: Workbench, runs: Runs, **how: Any) -> Outcome:
    bench.execute = runs
    return benchmark(bench, **how).run(bench)


# What is compared


def test_same_rounds_pass_and_say_what_would_have_been_detected(bench: Workbench) -> None:
    runs = Runs(EVEN, EVEN)
    outcome = judged(bench, runs)
    assert outcome.status is Status.SUCCESS
    assert outcome.detail == "0.101 s, 1.00 times the baseline (1.00 to 1.00); detects 1.15"
    assert sorted(runs.started) == ["new"] * 4 + ["old"] * 4
    assert outcome.data["intervals"][""]["verdict"] == "fine"
    assert len(outcome.data["rounds"]["old"]) == 4


def test_a_slower_whole_fails_with_its_place(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, [1.3 * each for each in EVEN]))
    assert outcome.status is Status.FAILURE
    [found] = outcome.findings
    assert (found.rule, found.file, found.line) == ("slower", MERGE.file, MERGE.line)
    assert found.message == "merge takes 1.30 times the baseline (1.30 to 1.30); 1.15 allowed"


def test_a_slower_part_fails_and_is_named_though_the_whole_is_fine(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, EVEN, parts=(0.02, 0.026)))
    assert outcome.detail.startswith("slower: silver.orders; ")
    assert [each.message.partition(" takes ")[0] for each in outcome.findings] == ["merge, silver.orders,"]


def test_a_part_too_short_for_the_clock_is_shown_and_not_judged(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, EVEN, parts=(0.002, 0.004)))
    assert outcome.status is Status.SUCCESS
    assert ["silver.orders", 0.004, None, None, None, None, None] in outcome.data["panel"]["rows"]


def test_a_part_that_became_long_is_judged(bench: Workbench) -> None:
    assert judged(bench, Runs(EVEN, EVEN, parts=(0.002, 0.04))).status is Status.FAILURE


def test_what_the_clock_cannot_tell_is_advice_with_the_command_that_would(bench: Workbench) -> None:
    outcome = judged(bench, Runs(WILD, WILD[::-1], cpu=(0.0, 0.0)))
    assert outcome.status is Status.WARNING
    assert outcome.weaker is None
    assert "cannot tell for the whole" in outcome.detail
    assert "nox -s performance -- -k merge --generations " in outcome.detail


def test_where_the_clock_cannot_tell_the_processor_does(bench: Workbench) -> None:
    assert judged(bench, Runs(WILD, WILD[::-1])).status is Status.SUCCESS
    slower = judged(bench, Runs(WILD, WILD[::-1], cpu=(0.1, 0.13)))
    assert slower.status is Status.FAILURE
    assert "of the processor 1.30 (1.30 to 1.30)" in slower.findings[0].message


def test_more_processor_time_is_no_failure_where_nobody_waits_longer(bench: Workbench) -> None:
    assert judged(bench, Runs(EVEN, EVEN, cpu=(0.1, 0.2))).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("wall", "cpu", "verdict"),
    [
        ((1.2, 1.4), None, Verdict.SLOWER),
        ((0.9, 1.1), (1.3, 1.5), Verdict.FINE),
        ((1.0, 1.3), None, Verdict.UNDECIDED),
        ((0.8, 1.3), (0.98, 1.02), Verdict.FINE),
        # Waiting costs no processor time: its word is not enough where the clock's best guess is beyond.
        ((1.1, 1.5), (0.98, 1.02), Verdict.UNDECIDED),
        ((0.8, 1.3), (1.2, 1.4), Verdict.SLOWER),
    ],
)
def test_the_clock_decides_and_the_processor_helps(
    wall: tuple[float, float], cpu: tuple[float, float] | None, verdict: Verdict
) -> None:
    clocks = [
        None if each is None else Interval(math.sqrt(each[0] * each[1]), *each, 24) for each in (wall, cpu)
    ]
    assert clocks[0] is not None
    assert Compared(clocks[0], clocks[1]).verdict(1.15) is verdict


def test_a_higher_peak_of_memory_fails(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, EVEN, peaks=(100.0, 140.0)))
    assert [each.rule for each in outcome.findings] == ["memory"]
    assert "1.40 to 1.40 times the baseline's peak memory; 1.25 allowed" in outcome.findings[0].message


def test_more_rounds_are_run_while_time_is_left_and_nothing_is_told(bench: Workbench) -> None:
    runs = Runs(WILD, WILD[::-1], cpu=(0.0, 0.0))
    judged(bench, runs, given=Options(seconds=0.5))
    assert len(runs.started) > 8


def test_generations_can_be_asked_for(bench: Workbench) -> None:
    runs = Runs(EVEN, EVEN)
    judged(bench, runs, given=Options(seconds=0, generations=7))
    assert len(runs.started) == 14


# What is run


def test_unchanged_code_is_skipped_with_the_reason(bench: Workbench) -> None:
    outcome = judged(bench, Runs([], []), differs={"README.md", "utils/lake_ci/job.py"})
    assert outcome.status is Status.SKIPPED
    assert outcome.detail == "nothing it exercises has changed (utils/lakekit/*); `-- --all` runs it"


@pytest.mark.parametrize(
    "file",
    [
        "utils/lakekit/sql/gold/x.sql",
        "requirements/performance.txt",
        "pyproject.toml",
        "testing/performance/conftest.py",
    ],
)
def test_whatever_its_figures_may_depend_on_makes_it_run(bench: Workbench, file: str) -> None:
    assert not benchmark(bench, differs={file}).unchanged()


def test_when_in_doubt_it_runs(bench: Workbench) -> None:
    assert not benchmark(bench, differs=None).unchanged()
    assert not benchmark(bench, differs=set(), said=Declared("a", "a", "a", 1, ())).unchanged()
    assert (
        judged(bench, Runs(EVEN, EVEN), differs=set(), given=Options(seconds=0, every=True)).status
        is Status.SUCCESS
    )


def test_without_a_baseline_it_is_measured_alone(bench: Workbench) -> None:
    runs = Runs([], EVEN)
    outcome = judged(bench, runs, old=False)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "0.101 s; nothing to compare with")
    assert runs.started == ["new"]


def test_what_the_baseline_lacks_is_new(bench: Workbench) -> None:
    says = "E   AttributeError: module 'lakekit' has no attribute 'run'\n"
    outcome = judged(bench, Runs(EVEN, EVEN, fails="old", says=says))
    assert outcome.status is Status.SUCCESS
    assert outcome.detail.startswith("new: 0.101 s; the baseline lacks it (AttributeError: module 'lakekit'")


def test_a_baseline_that_fails_otherwise_is_advice(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, EVEN, fails="old", says="E   OSError: No space left\n"))
    assert outcome.status is Status.WARNING
    assert "the baseline could not run it: OSError: No space left" in outcome.detail


def test_a_benchmark_that_fails_is_a_failure_at_its_place(bench: Workbench) -> None:
    outcome = judged(bench, Runs(EVEN, EVEN, fails="new", says="E   AssertionError: no rows\n"))
    assert outcome.status is Status.FAILURE
    assert (outcome.findings[0].file, outcome.findings[0].line) == (MERGE.file, MERGE.line)
    assert "no rows" in outcome.detail


def test_after_a_baseline_that_could_not_be_built_nothing_is_measured(bench: Workbench) -> None:
    made = benchmark(bench)
    made.collect.old.side = None
    assert made.run(bench).detail == "the baseline could not be built"


# What there is


def listing(*names: str) -> Any:
    def execute(argv: list[str], **given: Any) -> Completed:
        tree = given["cwd"].name
        rows = [
            {"id": name, "name": name, "file": "f", "line": 1, "exercises": [], "gate": {"rounds": 3}}
            for name in names
            if not (tree == "repository" and name.startswith("only-old"))
        ]
        Path(given["env"]["LAKE_CI_LIST"]).write_text(json.dumps(rows), encoding="utf-8")
        return Completed(tuple(argv), 0, "", "", 0.1)

    return execute


def collected(bench: Workbench, execute: Any, given: Options = ANY) -> tuple[Collect, Outcome]:
    collect = benchmark(bench, given=given).collect
    collect.baseline.commit = None
    tree = bench.root / "tree"
    (tree / "testing" / "performance").mkdir(parents=True)
    assert collect.old.side is not None
    collect.old.side.tree = tree
    bench.execute = execute
    return collect, collect.run(bench)


def test_names_the_benchmarks_that_were_removed(bench: Workbench) -> None:
    collect, outcome = collected(bench, listing("merge", "api", "only-old"))
    assert outcome.detail == "2 benchmarks; removed since the baseline: only-old"
    assert [each.name for each in collect.benchmarks] == ["merge", "api"]
    assert collect.benchmarks[0].declared.rounds == 3


def test_a_selection_of_nothing_fails(bench: Workbench) -> None:
    _, outcome = collected(bench, listing(), Options(select="nosuch"))
    assert outcome.status is Status.FAILURE
    assert "no benchmark matches -k 'nosuch'" in outcome.detail


def test_benchmarks_that_cannot_be_collected_are_a_crash(bench: Workbench) -> None:
    _, outcome = collected(bench, lambda argv, **given: Completed(tuple(argv), 2, "E   SyntaxError", "", 0.1))
    assert outcome.findings[0].rule == "crash"


# What is kept


def test_measured_figures_enter_the_history_and_a_selection_does_not(bench: Workbench) -> None:
    bench.execute = Runs(EVEN, EVEN)
    for select, kept in (("merge", 0), (None, 1), (None, 2)):
        made = benchmark(bench, given=Options(seconds=0, select=select))
        made.run(bench)
        assert History(made.collect).run(bench).status is Status.SUCCESS
        records, _ = measurements.read(bench.root / HISTORY)
        assert len(records) == kept
        assert (bench.reports / "history.svg").read_text(encoding="utf-8").startswith("<svg")
        line = (bench.reports / "benchmarks.json").read_text(encoding="utf-8")
        assert measurements.from_line(line).benchmarks["merge"].series[""].pairs == 24
    [record, _] = measurements.read(bench.root / HISTORY)[0]
    assert record.baseline == "b" * 40


def test_nothing_measured_is_nothing_kept(bench: Workbench) -> None:
    assert History(benchmark(bench).collect).run(bench).status is Status.SKIPPED


def test_lines_of_the_history_that_cannot_be_read_are_said(bench: Workbench) -> None:
    (bench.root / HISTORY).parent.mkdir(parents=True)
    (bench.root / HISTORY).write_text("half a li\n", encoding="utf-8")
    bench.execute = Runs(EVEN, EVEN)
    made = benchmark(bench)
    made.run(bench)
    outcome = History(made.collect).run(bench)
    assert (outcome.status, outcome.detail) == (
        Status.WARNING,
        f"1 run in {HISTORY}; 1 line of it cannot be read",
    )


# What is typed


def test_options_are_read_over_what_the_project_declares(root: Path) -> None:
    (root / "pyproject.toml").write_text(SETTINGS)
    typed = options(["--baseline", "v1", "--all", "-k", "merge", "--generations", "9"], root)
    assert (typed.baseline, typed.every, typed.select, typed.generations) == ("v1", True, "merge", 9)
    assert (typed.threshold, typed.memory, typed.width, typed.seconds) == (1.15, 1.25, 0.03, 20.0)
    assert typed.partial and not options([], root).partial


@pytest.mark.parametrize("posargs", [["--nosuch"], ["--generations", "0"], ["--generations", "many"]])
def test_what_is_no_option_is_wrong_usage(root: Path, posargs: list[str]) -> None:
    (root / "pyproject.toml").write_text(SETTINGS)
    with pytest.raises(UsageError, match="nox -s performance -- "):
        options(posargs, root)
