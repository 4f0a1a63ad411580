"""Creates the stages that collect and run the benchmarks, and store the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from lake_ci.checks.performance import trend
from lake_ci.checks.performance.baseline import (
    Baseline,
    InstallVersion,
    Side,
    changed_files,
    worktree,
)
from lake_ci.checks.performance.benchmark import (
    FOLDER,
    Benchmark,
    BenchmarkSpec,
    pytest_command,
    read_specs,
)
from lake_ci.checks.performance.history import (
    Record,
    append_records,
    describe_machine,
    read_history,
    to_line,
)
from lake_ci.checks.performance.options import PerformanceOptions
from lake_ci.checks.tests.java import Jars, Java
from lake_ci.model.results import REPORTS, TIME_FORMAT, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, Stages, stopped_or_crashed
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

HISTORY = f"{REPORTS}/.history/performance.jsonl"


def stages(
    ctx: CheckContext, chosen: PerformanceOptions, env: Mapping[str, str]
) -> Stages:
    """Yield a stage that builds both versions, then a stage with the benchmarks.

    Args:
        env: the environment variables, including GitHub's variables that describe the
            push.
    """
    before = Baseline(env, chosen.baseline)
    new, old = InstallVersion("wheel"), InstallVersion("baseline wheel", before)
    found = Collect(chosen, before, old, new)
    with worktree(ctx.root):
        yield [Java("17"), Jars(), before, new, old, found]
    yield [*found.benchmarks, History(found)]


class Collect(Check):
    """Collect the benchmarks, and report the benchmarks that only the baseline has."""

    name = "benchmarks"
    exclusive = True

    def __init__(
        self,
        options: PerformanceOptions,
        baseline: Baseline,
        old: InstallVersion,
        new: InstallVersion,
    ) -> None:
        self.options = options
        self.baseline = baseline
        self.old = old
        self.new = new
        self.benchmarks: list[Benchmark] = []

    def run(self, ctx: CheckContext) -> Outcome:
        if self.new.side is None:
            return Outcome(Status.SKIPPED, "the wheel was not built")
        listed = self._listed(ctx, self.new.side, ctx.root)
        if isinstance(listed, Outcome):
            return listed
        if not listed:
            why = (
                f"no benchmark matches -k {self.options.select!r}"
                if self.options.select
                else "no benchmarks"
            )
            return Outcome.failure(self.name, "none", why, file=FOLDER)
        differs = (
            changed_files(ctx.root, self.baseline.commit)
            if self.baseline.commit
            else None
        )
        self.benchmarks = [
            Benchmark(each, self.options, self.baseline, self.old, self.new, differs)
            for each in listed
        ]
        return self._compared(ctx, listed)

    def _compared(self, ctx: CheckContext, listed: Sequence[BenchmarkSpec]) -> Outcome:
        """Return the outcome, which names the benchmarks that only the baseline has."""
        detail = count(len(listed), "benchmark")
        if (
            self.old.side is None
            or not (self.old.side.tree / FOLDER).is_dir()
            or self.options.partial
        ):
            return Outcome(Status.SUCCESS, detail)
        before = self._listed(ctx, self.old.side, self.old.side.tree)
        if isinstance(before, Outcome):
            return Outcome(
                Status.SUCCESS,
                f"{detail}; the benchmarks of the baseline cannot be listed",
            )
        removed = sorted(
            {each.name for each in before} - {each.name for each in listed}
        )
        if removed:
            detail += f"; removed since the baseline: {', '.join(removed)}"
        return Outcome(Status.SUCCESS, detail, data={"removed": removed})

    def _listed(
        self, ctx: CheckContext, side: Side, tree: Path
    ) -> list[BenchmarkSpec] | Outcome:
        file = ctx.reports / f".list-{side.name}.json"
        select = ["-k", self.options.select] if self.options.select else []
        env = {**side.variables(ctx), "LAKE_CI_LIST": str(file)}
        done = ctx.execute(
            pytest_command(side, FOLDER, "--collect-only", *select), env=env, cwd=tree
        )
        try:
            if done.code not in (0, 5):
                return stopped_or_crashed(self.name, done)
            return read_specs(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            # An old version that cannot list its benchmarks yet writes no file.
            return []
        finally:
            file.unlink(missing_ok=True)


class History(Check):
    """Write benchmarks.json, add a line to the history, and draw the trend."""

    name = "history"
    exclusive = True

    def __init__(self, collect: Collect) -> None:
        self.collect = collect

    def run(self, ctx: CheckContext) -> Outcome:
        measured = {
            each.name: each.measured
            for each in self.collect.benchmarks
            if each.measured
        }
        if not measured:
            return Outcome(Status.SKIPPED, "nothing was measured")
        record = Record(
            commit=git.commit(ctx.root),
            baseline=self.collect.baseline.commit,
            dirty=git.is_dirty(ctx.root),
            made=datetime.now(timezone.utc).strftime(TIME_FORMAT),
            machine=describe_machine(),
            benchmarks=measured,
        )
        write_whole(ctx.reports / "benchmarks.json", to_line(record))
        path = ctx.root / HISTORY
        # A partial run is drawn in the trend, but not added to the history.
        if not self.collect.options.partial:
            append_records(path, [record])
        records, unread = read_history(path)
        if self.collect.options.partial:
            records.append(record)
        write_whole(ctx.reports / "history.svg", trend.draw_trend(records))
        detail = f"{count(len(records), 'run')} in {HISTORY}"
        if unread:
            return Outcome(
                Status.WARNING,
                f"{detail}; {count(unread, 'line')} of this file cannot be read",
            )
        return Outcome(Status.SUCCESS, detail)
