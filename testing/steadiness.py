"""Run the tests repeatedly, and report flaky tests.

    nox -s suite-3.11 "tests-3.11(java17)" --install-only
    PYTHONPATH=utils .nox/suite-3-11/bin/python -m testing.steadiness

There are three kinds of runs: `busy`, all tests while busy loops run; `waits`, the
tests that wait for processes, signals or clocks; `orders`, the unit tests in random
orders. reports/steadiness/progress.json records each run, so that the same command
resumes an interrupted series. If the checkout changes, a new series starts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from lake_ci.checks.tests.java import Jars, Java
from lake_ci.errors import LakeCiError, MachineError, UsageError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system import git, signals
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.environment import Environment
from lake_ci.system.processes import Completed, Processes

ROOT = Path(__file__).resolve().parents[1]
REPORTS = "reports/steadiness"
JAVA = "17"
# The number of runs of each kind.
COUNTS = {"busy": 5, "waits": 20, "orders": 10}
ENVIRONMENTS = {"lakekit": ".nox/tests-3-11-java17", "suite": ".nox/suite-3-11"}
INSTALL = 'run `nox -s suite-3.11 "tests-3.11(java17)" --install-only`'
# Test files that match this pattern belong to the runs of the kind `waits`.
WAITS = re.compile(
    r"^\s*(?:import|from) "
    r"(?:asyncio|select|signal|socket|subprocess|threading|time)\b"
    r"|^from lake_ci\S* import .*\b(?:signals|interleaving)\b"
    r"|^from lake_ci\S*\.(?:signals|interleaving) import"
    r"|\bProcesses\b|\bshop\.start\b",
    re.MULTILINE,
)
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
# A busy loop, which ends when the process with the given id ends, even if that process
# is killed.
LOOP = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(10**5):
        pass
"""


class Execute(Protocol):
    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Completed: ...


Prepare = Callable[[Path, str, Execute], dict[str, str]]


@dataclass(frozen=True)
class Planned:
    """A planned run of tests. All tests of the run use the same environment.

    Attributes:
        kind: a key of `COUNTS`.
        number: the number of the run among the runs of its kind, from 1.
        group: a key of `ENVIRONMENTS`.
        seed: the seed of hypothesis and of the random order.
    """

    kind: str
    number: int
    group: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.group}, seed {self.seed}"


@dataclass(frozen=True)
class Ended(Planned):
    """A run that has ended: the exit code of pytest, and the failed tests."""

    code: int
    failed: tuple[str, ...]


class Progress:
    """The completed runs, stored in a file. A run counts only if the checkout has not
    changed since the run.
    """

    def __init__(self, file: Path, tree: str, seed: int) -> None:
        self.file, self.tree, self.seed = file, tree, seed
        self.runs: list[Ended] = []
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if kept.get("tree") == tree:
            self.seed = kept["seed"]
            for run in kept["runs"]:
                self.runs.append(Ended(**{**run, "failed": tuple(run["failed"])}))

    def add(self, run: Ended) -> None:
        self.runs.append(run)
        runs = [asdict(each) for each in self.runs]
        body = {"tree": self.tree, "seed": self.seed, "runs": runs}
        write_whole(self.file, json.dumps(body, indent=1) + "\n")

    def left(
        self, root: Path, counts: Mapping[str, int], files: Mapping[str, list[str]]
    ) -> Iterator[tuple[Planned, list[str]]]:
        """Return the runs that are not done yet, and their test files."""
        done = {(run.kind, run.number, run.group) for run in self.runs}
        for kind, count in counts.items():
            for number in range(1, count + 1):
                for group, names in files.items():
                    chosen = selection(root, kind, names)
                    if chosen and (kind, number, group) not in done:
                        yield Planned(kind, number, group, self.seed + number), chosen


def files_by_group(root: Path, paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the test files below these paths, by the environment that they need."""
    found: dict[str, list[str]] = {group: [] for group in ENVIRONMENTS}
    patterns = [f"testing/{kind}/**/test_*.py" for kind in ("unit", "integration")]
    for name in git.files(root, *patterns):
        if not paths or any(Path(name).is_relative_to(path) for path in paths):
            is_lakekit = Path(name).parts[2].startswith("lakekit")
            found["lakekit" if is_lakekit else "suite"].append(name)
    return {group: files for group, files in found.items() if files}


def selection(root: Path, kind: str, files: Sequence[str]) -> list[str]:
    """Return the test files that belong to a kind of run."""
    if kind == "waits":
        texts = {name: (root / name).read_text(encoding="utf-8") for name in files}
        return [name for name, text in texts.items() if WAITS.search(text)]
    if kind == "orders":
        return [name for name in files if name.startswith("testing/unit/")]
    return list(files)


def pytest_command(python: Path, run: Planned, files: Sequence[str]) -> list[str]:
    options = ["-q", "-rfE", "--color=no", "-p", "no:cacheprovider"]
    options.append(f"--hypothesis-seed={run.seed}")
    if run.kind == "orders":
        options += ["-p", "randomly", f"--randomly-seed={run.seed}"]
    return [str(python), "-m", "pytest", *options, *files]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep this number of processors busy during a `with` block."""
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    running = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def variables(root: Path, group: str, execute: Execute) -> dict[str, str]:
    """Return the environment variables of the tests.

    Raises:
        MachineError: the environment, its Java or the jars are missing.
    """
    environment = Environment(root / ENVIRONMENTS[group])
    if not environment.python.exists():
        raise MachineError(f"{ENVIRONMENTS[group]} is missing", hint=INSTALL)
    env = environment.variables(os.environ)

    def run(argv: Sequence[str], **options: object) -> Completed:
        return execute(argv, env=env)

    bench = CheckContext(root, root / REPORTS, environment.python, env, run)
    for tool in (Java(JAVA), Jars()):
        outcome = tool.run(bench)
        if outcome.status is not Status.SUCCESS:
            raise MachineError(f"{tool.name}: {outcome.detail}", hint=INSTALL)
    return env


def run_tests(
    root: Path,
    run: Planned,
    files: Sequence[str],
    env: Mapping[str, str],
    execute: Execute,
) -> Ended:
    """Run tests, store their output in the folder of the progress file, and return the
    result.
    """
    python = root / ENVIRONMENTS[run.group] / "bin" / "python"
    done = execute(pytest_command(python, run, files), env=env)
    log = root / REPORTS / f"{run.kind}-{run.number}-{run.group}.log"
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    outcome = f"failed; {log.relative_to(root)}" if done.code else "passed"
    print(f"{run}: {outcome}", flush=True)
    failed = tuple(FAILED.findall(done.stdout))
    return Ended(**asdict(run), code=done.code, failed=failed)


def table(runs: Sequence[Ended]) -> str:
    """Return a table with the number of failed runs of each kind, and the failed tests
    with their seeds.
    """
    lines = [f"{'kind':8}{'runs':>6}{'failed':>8}  seeds"]
    for kind in COUNTS:
        of_kind = [run for run in runs if run.kind == kind]
        failed = sum(run.code != 0 for run in of_kind)
        seeds = sorted({run.seed for run in of_kind})
        span = f"{seeds[0]} to {seeds[-1]}" if seeds else ""
        lines.append(f"{kind:8}{len(of_kind):6}{failed:8}  {span}".rstrip())
    for run in runs:
        if run.code:
            tests = run.failed or (f"pytest ended with {run.code}",)
            lines += [f"{run}: {test}" for test in tests]
    return "\n".join(lines)


def tree(root: Path, paths: Sequence[str]) -> str:
    """Return a digest of the inputs of the runs: commit, uncommitted changes, and
    chosen tests.
    """
    changes = git.ask(root, "diff", "HEAD") or ""
    digest = hashlib.sha256("\0".join([changes, *paths]).encode()).hexdigest()[:12]
    return f"{git.commit(root)} {digest}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m testing.steadiness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for kind, count in COUNTS.items():
        what = f"runs of this kind; default: {count}"
        option = f"--{kind}"
        parser.add_argument(option, type=int, default=count, metavar="N", help=what)
    what = "busy loops beside the runs of `busy`; default: 4"
    parser.add_argument("--loops", type=int, default=4, metavar="N", help=what)
    what = "each run adds its number; default: a random one"
    parser.add_argument("--seed", type=int, help=what)
    parser.add_argument("--restart", action="store_true", help="forget the runs so far")
    parser.add_argument("paths", nargs="*", help="files or folders of tests")
    return parser.parse_args(arguments)


def run_all(
    options: argparse.Namespace,
    root: Path,
    execute: Execute,
    prepare: Prepare,
) -> list[Ended]:
    """Do all runs that are not done yet, and return all runs of the series. Raises
    LakeCiError.
    """
    files = files_by_group(root, options.paths)
    if not files:
        raise UsageError(f"no tests in {', '.join(options.paths)}")
    file = root / REPORTS / "progress.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    if options.restart:
        file.unlink(missing_ok=True)
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().randrange(10**6)
    progress = Progress(file, tree(root, options.paths), seed)
    if progress.runs:
        print(f"{len(progress.runs)} runs were done before", flush=True)
    env = {group: prepare(root, group, execute) for group in files}
    counts = {kind: getattr(options, kind) for kind in COUNTS}
    for run, chosen in progress.left(root, counts, files):
        with busy(options.loops if run.kind == "busy" else 0):
            progress.add(run_tests(root, run, chosen, env[run.group], execute))
    return progress.runs


def main(
    arguments: Sequence[str],
    root: Path = ROOT,
    execute: Execute | None = None,
    prepare: Prepare = variables,
) -> int:
    """Run the command. Returns the exit code: 0 if all runs passed, 1 if a run failed,
    2 for wrong usage, 3 if an environment is missing.

    Args:
        execute: runs a command in the root folder until it ends.
        prepare: returns the environment variables of the tests of a group.
    """
    execute = execute or partial(Processes().run, cwd=root)
    try:
        runs = run_all(parse(arguments), root, execute, prepare)
    except LakeCiError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(f"\n{table(runs)}")
    return 1 if any(run.code for run in runs) else 0


if __name__ == "__main__":
    signals.install()
    sys.exit(main(sys.argv[1:]))
