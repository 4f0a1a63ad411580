"""Tests the selection of tests that a change may affect. A real pytest runs in a small
repository before and after a change.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.tests import affected
from lake_ci.checks.tests.affected import Affected, LastRuns
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system import git
from lake_ci.system.processes import Completed, Processes

FILES = {
    "pyproject.toml": (
        '[tool.pytest.ini_options]\npythonpath = ["."]\naddopts ='
        ' ["--import-mode=importlib"]\n'
    ),
    "lib.py": (
        """\
import functools
from pathlib import Path

LIMIT = 3


def double(number):
    return number * 2


def half(number):
    return number / 2


@functools.lru_cache
def cached(number):
    return slow(number)


def slow(number):
    return number + 1


def declared(number):
    return number


TABLE = declared(7)


def make():
    return [1, 2]


def end(lines):
    lines.append("ended")
"""
    ),
    "tool.py": (
        "import sys\n\n\ndef main():\n    return 7\n\n\nif __name__ == '__main__':\n"
        "    print(main())\n"
    ),
    "data.csv": "1,2\n",
    "tests/conftest.py": (
        """\
import lib
import pytest


@pytest.fixture(scope="session")
def shared():
    made = lib.make()
    yield made
    assert lib.end([]) is None


@pytest.fixture
def own():
    return 5
"""
    ),
    "tests/test_lib.py": (
        """\
import lib


def test_double():
    assert lib.double(2) == 4


def test_half():
    assert lib.half(4) == 2


def test_constant():
    assert lib.LIMIT == 3


def test_cached_first():
    assert lib.cached(1) == 2


def test_cached_again():
    assert lib.cached(1) == 2


def test_declared():
    assert lib.TABLE == 7
"""
    ),
    "tests/test_fixtures.py": (
        """\
from pathlib import Path


def test_shared_first(shared):
    assert shared == [1, 2]


def test_shared_again(shared):
    assert shared == [1, 2]


def test_asked_by_name(request):
    assert request.getfixturevalue("shared") == [1, 2]


def test_own(own):
    assert own == 5


def test_data():
    assert Path("data.csv").read_text() == "1,2\\n"


def test_source():
    assert "return 7" in Path("tool.py").read_text()
"""
    ),
    "tests/test_process.py": (
        """\
import subprocess
import sys


def test_tool():
    done = subprocess.run(
        [sys.executable, "tool.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "7\\n"


def test_no_process():
    assert True
"""
    ),
}
# Edits that break tests; each has a file, the old text and the new text.
MUTANTS = {
    "function": ("lib.py", "number * 2", "number * 3"),
    "constant": ("lib.py", "LIMIT = 3", "LIMIT = 4"),
    "cached": ("lib.py", "number + 1", "number + 2"),
    "import": ("lib.py", "    return number\n\n\nTABLE", "    return 8\n\n\nTABLE"),
    "fixture": ("tests/conftest.py", "return 5", "return 6"),
    "shared-fixture": (
        "tests/conftest.py",
        "made = lib.make()",
        "made = lib.make() * 2",
    ),
    "below-a-shared-fixture": ("lib.py", "return [1, 2]", "return []"),
    "teardown": ("lib.py", 'lines.append("ended")', "return lines"),
    "data": ("data.csv", "1,2", "2,1"),
    "process": ("tool.py", "return 7", "return 8"),
    "test": ("tests/test_lib.py", "lib.half(4) == 2", "lib.half(4) == 3"),
    "settings": (
        "pyproject.toml",
        'pythonpath = ["."]',
        'pythonpath = ["."]\nusefixtures = ["none"]',
    ),
}
TESTS = 14
SHARED = {
    f"tests/test_fixtures.py::{name}"
    for name in ("test_shared_first", "test_shared_again", "test_asked_by_name")
}


@pytest.fixture
def repository(ctx: CheckContext) -> CheckContext:
    """Return the context of a git repository. Commands run in the repository, with this
    test's Python.
    """
    children = Processes()

    def execute(argv: list[str], *, env: dict[str, str], **options: Any) -> Completed:
        options.pop("attached", None)
        return children.run(argv, cwd=ctx.root, env=env, **options)

    for name, text in FILES.items():
        (ctx.root / name).parent.mkdir(parents=True, exist_ok=True)
        (ctx.root / name).write_text(text)
    (ctx.root / ".gitignore").write_text(
        "/.cache/\n/reports/\n__pycache__/\n.pytest_cache/\n"
    )
    assert git.ask(ctx.root, "init", "-q") is not None
    ctx.env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ctx.python = Path(sys.executable)
    ctx.execute = execute
    ctx.posargs = ("--affected",)
    return ctx


def run(repository: CheckContext) -> Outcome:
    return Affected("tests", ["tests"], inputs=["*"]).run(repository)


def recorded(repository: CheckContext) -> LastRuns:
    path = (
        repository.root / ".cache" / "affected" / repository.reports.name / "tests.json"
    )
    found = LastRuns.load(path)
    assert found is not None
    return found


def edit(repository: CheckContext, file: str, old: str, new: str) -> None:
    path = repository.root / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def failing(root: Path) -> set[str]:
    """Run all tests, and return those that fail, or all tests if pytest cannot collect
    them.

    Byte code is disabled, because Python would use stale byte code if a file changed
    twice in a second and kept its size.
    """
    command = [
        sys.executable,
        "-B",
        "-m",
        "pytest",
        "-q",
        "-rfE",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    done = subprocess.run(
        [*command, "tests"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0, done.stdout
    return set(re.findall(r"^(?:FAILED|ERROR) (\S+::\w+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("workers", [1, 2])
def test_affected_tests_include_all_that_a_mutant_breaks(
    repository: CheckContext, workers: int
) -> None:
    repository.workers = workers
    first = run(repository)
    assert first.status is Status.SUCCESS
    assert f"{TESTS} passed" in first.detail and "no earlier run" in first.detail
    known = recorded(repository)
    assert len(known.tests) == 1 + TESTS

    selected = {}
    for name, (file, old, new) in MUTANTS.items():
        edit(repository, file, old, new)
        now = affected.Snapshot.of(repository.root, ["*"], known.snapshot)
        selection = affected.select_affected(known, now, repository.root)
        # If the teardown of a shared fixture fails, pytest reports the error for the
        # test that runs last. Any test with this fixture may run last.
        broken = (
            SHARED if name == "teardown" or workers == 2 else failing(repository.root)
        )
        # The number of workers does not change which tests fail, so the comparison with
        # one worker is enough.
        assert workers == 2 or broken <= selection.tests, name
        selected[name] = len(selection.tests)
        edit(repository, file, new, old)
    everything = {name for name, number in selected.items() if number == TESTS}
    assert everything == {"constant", "import", "data", "settings"}
    # The two tests are the test of the changed function, and the test that starts a
    # process.
    assert selected["function"] == 2


def test_affected_run_selects_reports_and_records(
    repository: CheckContext, capsys: pytest.CaptureFixture[str]
) -> None:
    run(repository)
    assert "all tests: no earlier run" in capsys.readouterr().out
    assert run(repository) == Outcome(Status.SUCCESS, f"0 of {TESTS} tests")

    edit(repository, "lib.py", "number * 2", "number * 3")
    for _ in range(2):  # failed tests run again
        outcome = run(repository)
        assert outcome.status is Status.FAILURE
        assert [finding.place for finding in outcome.findings] == [
            "tests/test_lib.py:5"
        ]
    assert f"1 of {TESTS} tests" in capsys.readouterr().out

    edit(repository, "lib.py", "number * 3", "number * 2")
    assert run(repository).detail == f"2 passed (2 of {TESTS} tests)"
    (repository.root / "tests" / "test_new.py").write_text(
        "def test_new() -> None:\n    assert True\n"
    )
    # The two tests are the new test, and the test that starts a process.
    assert "2 passed" in run(repository).detail
    assert run(repository).detail == f"0 of {TESTS + 1} tests"


def test_affected_record_of_a_narrower_run_is_not_kept(
    repository: CheckContext,
) -> None:
    repository.posargs = ("--affected", "-k", "double")
    assert run(repository).detail.startswith("1 passed (all tests")
    assert not list(repository.root.glob(".cache/affected/*/tests.json"))


@pytest.mark.parametrize(
    ("posargs", "rows"),
    [
        ((), {"fast": ["tests"], "slow": ["slow", "api"]}),
        (("-q",), {"fast": ["tests"], "slow": ["slow", "api"]}),
        (("-k", "merge"), {"tests": ["tests", "slow", "api"]}),
        (("--affected",), {"tests": ["tests", "slow", "api"]}),
    ],
)
def test_sets_selection_starts_pytest_once(
    posargs: tuple[str, ...], rows: dict[str, list[str]]
) -> None:
    made = affected.pytest_rows(
        {"fast": ["tests"], "slow": ["slow", "api"]}, ["lib"], posargs, ["*"]
    )
    assert {each.name: list(each.folders) for each in made} == rows
