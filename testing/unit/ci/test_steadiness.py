"""`testing.steadiness` counts and resumes runs, and reports failures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from lake_ci.system.processes import Completed
from testing import steadiness
from testing.steadiness import LOOP, REPORTS, WAITS, Execute

SUITE = "testing/unit/lake_ci/runner/test_suite.py"
WAITING = "testing/unit/lakekit/test_waiting.py"
INTEGRATION = "testing/integration/lakekit/test_passing.py"
# A test that passes only if the seed is 9.
SEEDED = """
def test_fails(pytestconfig):
    assert pytestconfig.option.randomly_seed == 9
"""
# The end of pytest's output for a failing test. The text after ` - ` is not part of the
# test's name.
FAILURE = f"1 failed\nFAILED {WAITING}::test_waits[a b] - assert 0\n"

Run = Callable[..., int]


class Pytest:
    """A fake pytest. `failing` contains the numbers of the calls that fail; the first
    call has the number 1.
    """

    def __init__(self, *failing: int, code: int = 1, text: str = FAILURE) -> None:
        self.failing, self.code, self.text = failing, code, text
        self.commands: list[list[str]] = []

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Completed:
        self.commands.append(list(argv))
        if len(self.commands) in self.failing:
            return Completed(tuple(argv), self.code, self.text, "", 0.1)
        return Completed(tuple(argv), 0, "1 passed\n", "", 0.1)

    def files(self) -> list[list[str]]:
        """Return the test files of each call."""
        commands = self.commands
        return [[word for word in each if word.endswith(".py")] for each in commands]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with three test files; one of them imports `time`."""
    write(tmp_path, SUITE, "def test_passes():\n    pass\n")
    write(tmp_path, WAITING, "import time\n")
    write(tmp_path, INTEGRATION, "")
    write(tmp_path, ".gitignore", "/.nox/\n/reports/\n__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=Tests")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True)


def bare(root: Path, group: str, execute: Execute) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "PYTEST" not in name}


@pytest.fixture
def run(root: Path) -> Run:
    """Return a function that runs `testing.steadiness` in the repository, with the seed
    100.
    """

    def run(tests: Execute, *arguments: str) -> int:
        seed = ["--seed", "100", "--loops", "1"]
        return steadiness.main([*seed, *arguments], root, tests, bare)

    return run


def counts(busy: int, waits: int, orders: int) -> list[str]:
    return [f"--busy={busy}", f"--waits={waits}", f"--orders={orders}"]


def runs(root: Path) -> list[tuple[str | int, ...]]:
    noted = json.loads((root / REPORTS / "progress.json").read_text())["runs"]
    fields = ("kind", "number", "group", "seed")
    return [tuple(each[name] for name in fields) for each in noted]


def test_each_kind_runs_its_tests_as_often_as_asked(
    root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = Pytest()
    assert run(tests, *counts(2, 1, 1)) == 0
    assert runs(root) == [
        ("busy", 1, "lakekit", 101),
        ("busy", 1, "suite", 101),
        ("busy", 2, "lakekit", 102),
        ("busy", 2, "suite", 102),
        ("waits", 1, "lakekit", 101),
        ("orders", 1, "lakekit", 101),
        ("orders", 1, "suite", 101),
    ]
    everything = [[INTEGRATION, WAITING], [SUITE]]
    assert tests.files() == [*everything, *everything, [WAITING], [WAITING], [SUITE]]
    shuffled = ["-p", "randomly", "--randomly-seed=101"]
    in_random_order = [set(shuffled) <= set(each) for each in tests.commands]
    assert in_random_order == [False] * 5 + [True] * 2
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert rows == [
        ["busy", "4", "0", "101", "to", "102"],
        ["waits", "1", "0", "101", "to", "101"],
        ["orders", "2", "0", "101", "to", "101"],
    ]


def test_failed_test_is_named_with_its_run_and_seed(
    root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Pytest(2), *counts(0, 3, 0)) == 1
    lines = capsys.readouterr().out.splitlines()
    log = f"{REPORTS}/waits-2-lakekit.log"
    assert lines[1] == f"waits 2 lakekit, seed 102: failed; {log}"
    assert lines[-1] == f"waits 2 lakekit, seed 102: {WAITING}::test_waits[a b]"
    assert (root / log).read_text() == FAILURE


def test_run_without_a_failed_test_is_judged_by_its_exit_code(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Pytest(1, code=-9, text=""), *counts(0, 1, 0)) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "waits 1 lakekit, seed 101: pytest ended with -9"


def test_interrupted_command_goes_on_where_it_was(
    root: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = Pytest()

    def interrupted(argv: Sequence[str], *, env: Mapping[str, str]) -> Completed:
        if len(tests.commands) == 2:
            raise KeyboardInterrupt
        return tests(argv, env=env)

    assert run(interrupted, *counts(0, 3, 0)) == 130
    assert len(runs(root)) == 2
    assert run(tests, *counts(0, 3, 0), "--seed=7") == 0
    again = [("waits", number, "lakekit", 100 + number) for number in (1, 2, 3)]
    assert runs(root) == again
    assert len(tests.commands) == 3
    assert "2 runs were done before" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["--restart", "other tests", "changed tree"])
def test_runs_of_something_else_do_not_count(root: Path, run: Run, change: str) -> None:
    assert run(Pytest(1), *counts(0, 2, 0)) == 1
    if change == "changed tree":
        write(root, WAITING, "import time  # changed\n")
    more = {"--restart": ["--restart"], "other tests": ["testing/unit"]}.get(change, [])
    assert run(Pytest(), *counts(0, 1, 0), *more) == 0
    assert runs(root) == [("waits", 1, "lakekit", 101)]


def test_real_tests_run_in_a_random_order(
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = root / steadiness.ENVIRONMENTS["suite"] / "bin" / "python"
    write(python.parent, "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    write(root, SUITE, SEEDED)
    arguments = [*counts(0, 0, 2), "--seed=8", "testing/unit/lake_ci"]
    assert steadiness.main(arguments, root, prepare=bare) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "orders 1 suite, seed 9: passed"
    assert lines[-1] == f"orders 2 suite, seed 10: {SUITE}::test_fails"


def test_paths_without_tests_are_wrong_usage(
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(Pytest(), "testing/nothing") == 2
    assert capsys.readouterr().err == "no tests in testing/nothing\n"


def test_missing_environment_is_named_with_the_command_that_makes_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steadiness.main([], root) == 3
    assert "is missing (run `nox -s suite-3.11" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs handles of processes")
def test_busy_loop_ends_with_the_process_that_started_it() -> None:
    start = f"Popen([sys.executable, '-c', {LOOP!r}, str(os.getpid())])"
    lines = [f"process = {start}", "print(process.pid, flush=True)", "input()"]
    parent = "\n".join(["import os, sys", "from subprocess import Popen", *lines])
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        loop = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    assert select.select([loop], [], [], 60)[0]
    os.close(loop)


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("import time\n", True),
        ("from subprocess import run\n", True),
        ("from lake_ci.system import git, signals\n", True),
        ("from lake_ci.system.signals import install\n", True),
        ("from lake_ci.system.processes import Processes\n", True),
        ("from lake_ci.system.processes import Completed\n", False),
        ("import datetime\nfrom timeit import repeat\n", False),
    ],
)
def test_tests_that_wait_are_known_by_what_they_import(text: str, waits: bool) -> None:
    assert bool(WAITS.search(text)) is waits
