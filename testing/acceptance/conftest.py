"""Copies of the repository to put a defect into, and the real nox to find it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from lake_ci.model import results
from lake_ci.model.results import CheckResult, Finding, Result, Status
from lake_ci.system import git

REPOSITORY = Path(__file__).resolve().parents[2]
# Resolved, because a copy of the repository links to these environments: one that is
# rebuilt is used again after the copy is gone.
ENVDIR = (REPOSITORY / ".nox").resolve()
# Seconds after which a wait is taken for a hang, on a machine however busy.
LIMIT = 120
IDENTITY = [
    "-c",
    "user.name=Acceptance",
    "-c",
    "user.email=acceptance@example.org",
    "-c",
    "commit.gpgsign=false",
]
# What the nox around these tests, pytest or GitHub say is not meant for the nox inside.
OUTER = re.compile(
    r"LAKE_CI_(PLAN|RUN|EVENT|CACHE|STORE|PROVISIONING)|NOX.*|GITHUB_.*"
    r"|COV_CORE_.*|COVERAGE_.*|PYTEST_.*|GIT_.*"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`-- --changes 500 --seed 7`: how many random changes the trial of what is reused
    makes, and which.

    `-- --nightly`: the tests marked `nightly` as well.
    """
    parser.addoption(
        "--changes",
        default="12",
        help="random changes that results are tried to be reused after",
    )
    parser.addoption("--seed", default="1", help="other random changes")
    parser.addoption(
        "--nightly",
        action="store_true",
        default=os.environ.get("GITHUB_EVENT_NAME") == "schedule",
        help="run the tests marked nightly, as the scheduled run does",
    )


# Files whose sessions use one environment, and so wait for each other.
SAME_ENVIRONMENT = {
    "test_workflow": "test_lint",
    "test_order": "test_tests",
    "test_wheel": "test_tests",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Give the tests of a file to one process, as they share the runs of its fixtures;
    skip those that are for the scheduled run.
    """
    nightly = config.getoption("--nightly")
    skip = pytest.mark.skip(reason="runs on schedule, or by `-- --nightly`")
    for item in items:
        file = item.path.stem
        item.add_marker(pytest.mark.xdist_group(SAME_ENVIRONMENT.get(file, file)))
        if item.get_closest_marker("nightly") and not nightly:
            item.add_marker(skip)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of the nox inside; LAKE_CI_STRICT stays as it is.

    Every job runs, whatever earlier runs have found: `LAKE_CI_CACHE` in `more` changes
    that.
    """
    kept = {
        name: value for name, value in os.environ.items() if not OUTER.fullmatch(name)
    }
    return {**kept, "LAKE_CI_CACHE": "off", **(more or {})}


@dataclass(frozen=True)
class Ran:
    """A nox that has ended.

    Attributes:
        code: its exit code.
        output: what it printed, errors included.
        root: the repository it ran in.
    """

    code: int
    output: str
    root: Path

    def result(self, job: str) -> Result:
        """What `reports/<job>/result.json` says."""
        return results.read(self.root / "reports" / job)

    def check(self, job: str, name: str) -> CheckResult:
        """One row of a result."""
        [row] = [row for row in self.result(job).checks if row.name == name]
        return row

    def rows(self, job: str) -> dict[str, str]:
        """The rows of a result, with their status."""
        return {row.name: row.status.value for row in self.result(job).checks}

    def assert_only(
        self,
        job: str,
        failed: set[str],
        rows: set[str],
        skipped: set[str] | None = None,
    ) -> None:
        """Every row was recorded; these failed, these were skipped, all others passed,
        and nox says so.
        """
        skipped = skipped or set()
        said = self.rows(job)
        assert set(said) == rows, self.output
        bad = {name for name, status in said.items() if status == "failure"}
        assert bad == failed, self.output
        assert {
            name for name, status in said.items() if status == "skipped"
        } == skipped, self.output
        assert self.result(job).status is (
            Status.FAILURE if failed else Status.SUCCESS
        ), self.output
        assert self.code == (1 if failed else 0), self.output

    def finding(self, job: str, check: str, rule: str) -> Finding:
        """The one finding of that rule in a row."""
        found = [each for each in self.check(job, check).findings if each.rule == rule]
        assert len(found) == 1, self.output
        return found[0]

    def named(self, job: str, file: str) -> set[tuple[str, str, int | None]]:
        """All that the rows report about one file, as row, rule and line."""
        return {
            (row.name, each.rule, each.line)
            for row in self.result(job).checks
            for each in row.findings
            if each.file == file
        }


@dataclass(frozen=True)
class Checkout:
    """A repository of a test's own."""

    root: Path

    def write(self, path: str, text: str) -> int:
        """Write a file, and return the line that says `# here`, or 1."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return next(
            (
                number
                for number, line in enumerate(text.splitlines(), 1)
                if "# here" in line
            ),
            1,
        )

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands in the file exactly once."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", *IDENTITY, *arguments],
            cwd=self.root,
            env=clean_environment(),
            check=True,
        )

    def commit(self) -> None:
        """Commit everything, in a repository that is made where there is none."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=A commit")

    def copy(self, to: Path) -> Checkout:
        """A copy with everything but the results, modification times included."""
        ignore = shutil.ignore_patterns("reports", "dist")
        shutil.copytree(self.root, to, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        return Checkout(to)

    def nox(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        envdir: Path = ENVDIR,
        umask: int = -1,
    ) -> Ran:
        """Run nox to its end. The environments are the repository's own: they hold no
        path of it.
        """
        return self.begin(*arguments, env=env, envdir=envdir, umask=umask).end()

    def begin(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        envdir: Path = ENVDIR,
        umask: int = -1,
    ) -> Begun:
        """Start nox, as `nox` does, without waiting for its end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nox", "--envdir", str(envdir), *arguments],
            cwd=self.root,
            env=clean_environment(env),
            umask=umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        return Begun(process, self.root)


@dataclass(frozen=True)
class Begun:
    """A nox that may still run.

    Attributes:
        process: its process, whose output is at most what a pipe takes until `end`
            reads it.
        root: the repository it runs in.
    """

    process: subprocess.Popen[str]
    root: Path

    def end(self) -> Ran:
        """Wait for its end."""
        try:
            output = self.process.communicate()[0]
        finally:
            # An interrupted test leaves none behind.
            self.process.kill()
        return Ran(self.process.returncode, output, self.root)

    def stop(self) -> None:
        """Have it end all that it started, where it still runs."""
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate()


def private_environments(name: str, folder: Path) -> Path:
    """A folder with one environment of the repository, by links.

    A session in it waits for no other session of that name.
    """
    real, private = ENVDIR / name, folder / name
    shutil.copytree(real / "bin", private / "bin", symlinks=True)
    for entry in real.iterdir():
        if entry.name != "bin":
            (private / entry.name).symlink_to(entry)
    return folder


class Start(Protocol):
    def __call__(
        self, checkout: Checkout, *arguments: str
    ) -> subprocess.Popen[str]: ...


class Lifeline:
    """A named pipe that processes hold open as long as they live: its end is the moment
    the last one is gone.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def wait_for(self, lines: int, seconds: float) -> None:
        """Wait until the processes have written so many lines."""
        deadline = time.monotonic() + seconds
        while self._text.count(b"\n") < lines:
            self._read(deadline)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until no process holds it any more."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass

    def close(self) -> None:
        os.close(self._pipe)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select(
            [self._pipe], [], [], max(0.0, deadline - time.monotonic())
        )
        assert ready, f"still held, by some of {self._text.split()}"
        try:
            chunk = os.read(self._pipe, 4096)
        except BlockingIOError:
            # The last process let go, which woke `select`, and the next one took hold
            # before the read.
            return True
        self._text += chunk
        return bool(chunk)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The files of the repository, not committed yet, with the fetched jars linked."""
    root = tmp_path_factory.mktemp("original")
    for name in git.files(REPOSITORY):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)
    jars = REPOSITORY / ".cache" / "jars"
    jars.mkdir(parents=True, exist_ok=True)
    (root / ".cache").mkdir()
    (root / ".cache" / "jars").symlink_to(jars)
    return Checkout(root)


@pytest.fixture(scope="module")
def lean(original: Checkout) -> Checkout:
    """The repository with little Python code beside the suite's own: lint's time goes
    with the lines.
    """
    script = "scripts/check_workflow.py"
    text = (original.root / script).read_text(encoding="utf-8")
    for folder in ("api", "scripts", "testing"):
        shutil.rmtree(original.root / folder)
        # mypy's settings name the folder.
        original.write(f"{folder}/sound.py", "ONE = 1\n")
    # The contracts of imports name packages, and the rooms of lakekit.
    original.write("api/lakekit_api/__init__.py", "")
    for module in (original.root / "utils" / "lakekit").rglob("*.py"):
        module.write_text("", encoding="utf-8")
    original.write(script, text)
    original.commit()
    return original


@pytest.fixture
def small(tmp_path: Path) -> Checkout:
    """A repository of two jobs, `first` and `second`, that do nothing yet; its path is
    one that breaks bad quoting.
    """
    checkout = Checkout(tmp_path / "kleine Kopie für 'später'")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parent / "small", checkout.root, ignore=ignore)
    shutil.copytree(
        REPOSITORY / "utils" / "lake_ci",
        checkout.root / "utils" / "lake_ci",
        ignore=ignore,
    )
    checkout.write(".gitignore", "/.cache/\n/.nox/\n/reports/\n__pycache__/\n")
    for name in ("first", "second"):
        checkout.write(f"{name}.py", "print('nothing to do')\n")
    checkout.commit()
    return checkout


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts nox as a terminal would: at the head of a process group, its output to be
    read while it runs.
    """
    started: list[subprocess.Popen[str]] = []

    def run(checkout: Checkout, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nox", *arguments],
            cwd=checkout.root,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
            preexec_fn=reset_signals,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def watch(pids: Iterable[int]) -> dict[int, int]:
    """A handle of each process that has not ended since it was listed."""
    handles = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            handles[pid] = os.pidfd_open(pid)
    return handles


def wait_until_gone(watched: Mapping[int, int]) -> None:
    """Wait for the end of watched processes, and close their handles."""
    for pid, handle in watched.items():
        assert select.select([handle], [], [], LIMIT)[0], f"{pid} is still there"
        os.close(handle)


def reset_signals() -> None:
    """Let a child process handle SIGINT and SIGHUP, which a background shell or nohup
    makes this process ignore.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
