"""Measures how often `nox -s performance` finds a slowdown of a known size. A commit is
compared many times with itself and with slower copies.

    nox -s performance --install-only
    .nox/performance/bin/python testing/performance/measure_detection.py \\
        -k merge --transform silver.orders --trials 20

The size of a slowdown is a share of processor time. For each size, a copy of the
repository is created in which one transform needs more processor time by this share.
Both versions are built and installed once per size. Each trial compares the original
and the slower version, with the same code as `nox -s performance`. A row of the printed
table has the number of trials that failed, the number of inconclusive trials, and the
number of trials whose confidence interval excludes the ratio 1. If a slowdown is
smaller than the threshold, its trials should exclude 1, but should not fail.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "utils")]

from lake_ci.checks.performance import baseline, options as benchmark_options, stages
from lake_ci.checks.tests import java
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system import git
from lake_ci.system.environment import Environment
from lake_ci.system.processes import Completed, Processes
from testing.performance.seeds import slow_down

IDENTITY = [
    "-c",
    "user.name=Detection",
    "-c",
    "user.email=detection@example.org",
    "-c",
    "commit.gpgsign=false",
]


@dataclass(frozen=True)
class Trial:
    """The result of one comparison: `status` is the status of the benchmark, and all
    other fields describe the slower transform.
    """

    status: str
    verdict: str
    ratio: float
    low: float
    detects: float


@contextmanager
def seeded(share: float, table: str, scratch: Path) -> Iterator[Path]:
    """Yield a copy of the repository. The last commit of the copy makes one transform
    slower.
    """
    folder = scratch / f"slower-{share:g}"
    git_in = ["git", *IDENTITY]
    for name in git.files(ROOT):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    # Link to the jars of this repository, so that they are downloaded only once, even
    # in a fresh clone.
    jars = ROOT / ".cache" / "jars"
    jars.mkdir(parents=True, exist_ok=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "jars").symlink_to(jars)
    commit = [
        [*git_in, "add", "--all"],
        [*git_in, "commit", "--quiet", "--allow-empty", "--message=A commit"],
    ]
    for command in [[*git_in, "init", "--quiet", "--initial-branch=main"], *commit]:
        subprocess.run(command, cwd=folder, check=True)
    if share:
        slow_down(folder, table, share)
    for command in commit:
        subprocess.run(command, cwd=folder, check=True)
    yield folder
    shutil.rmtree(folder)


def check_context(folder: Path) -> CheckContext:
    """Return a context that uses the environment of `nox -s performance`, and runs
    commands in the copy.
    """
    processes = Processes()
    environment = Environment(ROOT / ".nox" / "performance")
    env = environment.variables(os.environ)

    def execute(
        argv: Sequence[str], *, cwd: Path = folder, env: dict[str, str] = env
    ) -> Completed:
        return processes.run(argv, cwd=cwd, env=env)

    reports = folder / "reports" / "performance"
    reports.mkdir(parents=True)
    return CheckContext(folder, reports, environment.python, env, execute)


def demand(outcome: Outcome) -> None:
    """If the outcome is not a success, print its findings and exit."""
    if outcome.status is not Status.SUCCESS:
        sys.exit(
            "\n".join([outcome.detail, *(found.message for found in outcome.findings)])
        )


def trials(
    folder: Path, select: str, table: str, number: int, seconds: float
) -> Iterator[Trial]:
    """Run the comparison of both versions `number` times, and yield each result."""
    bench = check_context(folder)
    chosen = replace(
        benchmark_options.options(["-k", select, "--all"], folder), seconds=seconds
    )
    before = baseline.Baseline({}, "HEAD^")
    new, old = baseline.InstallVersion("wheel"), baseline.InstallVersion(
        "baseline wheel", before
    )
    collect = stages.Collect(chosen, before, old, new)
    with baseline.worktree(folder):
        for tool in (java.Java("17"), java.Jars(), before, new, old, collect):
            demand(tool.run(bench))
    [benchmark] = collect.benchmarks
    for _ in range(number):
        outcome = benchmark.run(bench)
        found = outcome.data.get("intervals", {})
        if table not in found:
            sys.exit(
                f"{select} has no part {table}; it has:"
                f" {', '.join(filter(None, found))}\n{outcome.detail}"
            )
        series = found[table]
        ratio, low, _ = (
            series.get("cpu", series["wall"])
            if series["verdict"] != "fine"
            else series["wall"]
        )
        yield Trial(
            outcome.status.value, series["verdict"], ratio, low, series["detects"]
        )


def row(share: float, done: Sequence[Trial]) -> str:
    """Return the line of the table for one size."""
    failed = sum(each.status == "failure" for each in done)
    named = sum(each.verdict == "slower" for each in done)
    unsure = sum(each.status == "warning" for each in done)
    seen = sum(each.low > 1 for each in done)
    detects = statistics.median(each.detects for each in done)
    counts = "".join(
        f"{number:>5} of {len(done):<3}" for number in (failed, named, unsure, seen)
    )
    ratio = statistics.median(each.ratio for each in done)
    return f"{share:>6.0%} {counts} {ratio:>7.2f} {detects:>8.2f}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-k",
        dest="select",
        default="merge",
        help="the one benchmark, as pytest selects it",
    )
    parser.add_argument(
        "--transform",
        default="silver.orders",
        help="the table whose transform is made slower",
    )
    parser.add_argument(
        "--slowdowns", default="0,30,10,5", help="in percent (default: 0,30,10,5)"
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="as of the session (default: 20)"
    )
    parser.add_argument("--json", type=Path, help="write every trial there")
    return parser.parse_args()


def main() -> None:
    """Run all trials. The line for each size is printed as soon as it is complete."""
    options = parsed()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"{'slower':>6}"
        f" {'failed':>10}{'named':>11}{'unsure':>11}"
        f"{'seen':>10}{'ratio':>9}{'detects':>9}",
        flush=True,
    )
    everything: dict[str, list[dict[str, object]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for percent in map(float, options.slowdowns.split(",")):
            done: list[Trial] = []
            with seeded(percent / 100, options.transform, Path(scratch)) as folder:
                for trial in trials(
                    folder,
                    options.select,
                    options.transform,
                    options.trials,
                    options.seconds,
                ):
                    done.append(trial)
                    everything.setdefault(f"{percent:g}", []).append(asdict(trial))
                    if options.json:
                        options.json.write_text(
                            json.dumps(everything, indent=1), encoding="utf-8"
                        )
            print(row(percent / 100, done), flush=True)


if __name__ == "__main__":
    main()
