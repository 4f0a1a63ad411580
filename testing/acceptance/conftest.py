"""Fixtures for the acceptance tests. A test seeds a defect in a copy of the repository,
and runs the real nox, which must find the defect.
"""

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
# In a copy of the repository, .nox may be a link, so the path is resolved. An
# environment that a copy rebuilds must still work after the copy is deleted.
ENVDIR = (REPOSITORY / ".nox").resolve()
# The maximum number of seconds to wait, even on a busy machine.
LIMIT = 120
IDENTITY = [
    "-c",
    "user.name=Acceptance",
    "-c",
    "user.email=acceptance@example.org",
    "-c",
    "commit.gpgsign=false",
]
# The environment variables of the outer nox, of pytest and of GitHub. The inner nox
# must not see these variables.
OUTER = re.compile(
    r"LAKE_CI_(PLAN|RUN|EVENT|CACHE|STORE|PROVISIONING)|NOX.*|GITHUB_.*"
    r"|COV_CORE_.*|COVERAGE_.*|PYTEST_.*|GIT_.*"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the acceptance tests.

    `-- --changes 500 --seed 7` sets the number and the seed of the random changes that
    test the result cache.

    `-- --nightly` also runs the tests marked `nightly`.
    """
    parser.addoption(
        "--changes",
        default="12",
        help="number of random changes in the trial of the cache",
    )
    parser.addoption("--seed", default="1", help="seed of the random changes")
    parser.addoption(
        "--nightly",
        action="store_true",
        default=os.environ.get("GITHUB_EVENT_NAME") == "schedule",
        help="run the tests marked nightly, as the scheduled run does",
    )


# The two test files of each pair run in one process. The sessions in both files use the
# same environment, so in two processes, they would wait for each other.
SAME_ENVIRONMENT = {
    "test_workflow": "test_lint",
    "test_order": "test_tests",
    "test_wheel": "test_tests",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Run all tests of a file in one process, because they share fixtures that run nox.
    Skip the tests marked `nightly`, unless `--nightly` is given.
    """
    nightly = config.getoption("--nightly")
    skip = pytest.mark.skip(reason="runs on schedule, or by `-- --nightly`")
    for item in items:
        file = item.path.stem
        item.add_marker(pytest.mark.xdist_group(SAME_ENVIRONMENT.get(file, file)))
        if item.get_closest_marker("nightly") and not nightly:
            item.add_marker(skip)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables for the inner nox. LAKE_CI_STRICT is passed on.

    Jobs ignore cached results, unless `more` sets `LAKE_CI_CACHE`.
    """
    kept = {
        name: value for name, value in os.environ.items() if not OUTER.fullmatch(name)
    }
    return {**kept, "LAKE_CI_CACHE": "off", **(more or {})}


@dataclass(frozen=True)
class Ran:
    """A completed run of nox.

    Attributes:
        code: the exit code.
        output: standard output and standard error.
        root: the repository in which nox ran.
    """

    code: int
    output: str
    root: Path

    def result(self, job: str) -> Result:
        """Return the content of `reports/<job>/result.json`."""
        return results.read(self.root / "reports" / job)

    def check(self, job: str, name: str) -> CheckResult:
        """Return one row of a result."""
        [row] = [row for row in self.result(job).checks if row.name == name]
        return row

    def rows(self, job: str) -> dict[str, str]:
        """Return the status of each row of a result, by the name of the row."""
        return {row.name: row.status.value for row in self.result(job).checks}

    def assert_only(
        self,
        job: str,
        failed: set[str],
        rows: set[str],
        skipped: set[str] | None = None,
    ) -> None:
        """Assert that a result has exactly these rows, that exactly the given rows
        failed or were skipped, and that nox's exit code matches.
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
        """Return the only finding that a row of a result has for a rule."""
        found = [each for each in self.check(job, check).findings if each.rule == rule]
        assert len(found) == 1, self.output
        return found[0]

    def named(self, job: str, file: str) -> set[tuple[str, str, int | None]]:
        """Return all findings in a file, as (row, rule, line)."""
        return {
            (row.name, each.rule, each.line)
            for row in self.result(job).checks
            for each in row.findings
            if each.file == file
        }


@dataclass(frozen=True)
class Checkout:
    """A repository for one test."""

    root: Path

    def write(self, path: str, text: str) -> int:
        """Write a file. Returns the number of the line that contains `# here`, or 1."""
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
        """Replace a text in a file. The text must occur exactly once."""
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
        """Commit all files. The git repository is created if it does not exist."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=A commit")

    def copy(self, to: Path) -> Checkout:
        """Copy the repository without `reports` and `dist`. The copied files keep their
        modification times.
        """
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
        """Run nox and wait until it ends. The run uses the environments of the original
        repository, because an environment does not depend on the path of the checkout.
        """
        return self.begin(*arguments, env=env, envdir=envdir, umask=umask).end()

    def begin(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        envdir: Path = ENVDIR,
        umask: int = -1,
    ) -> Begun:
        """Start nox like the method `nox`, but do not wait for its end."""
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
    """A run of nox that may not have ended yet.

    Attributes:
        process: the process of nox. The output of nox is not read before `end`, so it
            must fit into a pipe.
        root: the repository in which nox runs.
    """

    process: subprocess.Popen[str]
    root: Path

    def end(self) -> Ran:
        """Wait until the process ends."""
        try:
            output = self.process.communicate()[0]
        finally:
            # If the test is interrupted, the process must not remain.
            self.process.kill()
        return Ran(self.process.returncode, output, self.root)

    def stop(self) -> None:
        """If nox is still running, stop it. nox then ends all processes that it has
        started.
        """
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate()


def private_environments(name: str, folder: Path) -> Path:
    """Return an environment folder for nox. The folder links to one environment of the
    repository. Sessions of one name wait for each other only if they use the same
    environment folder.
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
    """A named pipe that processes keep open until they end. When all these processes
    have ended, a reader of the pipe gets the end of file.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def wait_for(self, lines: int, seconds: float) -> None:
        """Wait until the processes have written `lines` lines in total."""
        deadline = time.monotonic() + seconds
        while self._text.count(b"\n") < lines:
            self._read(deadline)

    def wait_for_end(self, seconds: float) -> None:
        """Wait until no process has the pipe open."""
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
            # `select` returned because no process had the pipe open. Since then, a new
            # process has opened the pipe.
            return True
        self._text += chunk
        return bool(chunk)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository's files. The copied files are not committed, and
    the folder of the downloaded jars is a link.
    """
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
    """Return the copy after most Python code except the suite's was removed. Lint needs
    less time for fewer lines.
    """
    script = "scripts/check_workflow.py"
    text = (original.root / script).read_text(encoding="utf-8")
    for folder in ("api", "scripts", "testing"):
        shutil.rmtree(original.root / folder)
        # mypy's settings name this folder, so the folder must exist.
        original.write(f"{folder}/sound.py", "ONE = 1\n")
    # The settings of import-linter name the packages of the API and of lakekit, so both
    # packages must exist.
    original.write("api/lakekit_api/__init__.py", "")
    for module in (original.root / "utils" / "lakekit").rglob("*.py"):
        module.write_text("", encoding="utf-8")
    original.write(script, text)
    original.commit()
    return original


@pytest.fixture
def small(tmp_path: Path) -> Checkout:
    """Return a small repository whose two jobs, `first` and `second`, do nothing. The
    path of the repository has characters that must be quoted in a shell.
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
    """Yield a function that starts nox as a terminal does: as the leader of a process
    group. The output can be read while nox runs.
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
    """Return a handle for each of these processes that is still running."""
    handles = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            handles[pid] = os.pidfd_open(pid)
    return handles


def wait_until_gone(watched: Mapping[int, int]) -> None:
    """Wait until all watched processes have ended, and close their handles."""
    for pid, handle in watched.items():
        assert select.select([handle], [], [], LIMIT)[0], f"{pid} is still there"
        os.close(handle)


def reset_signals() -> None:
    """Restore the default handling of SIGINT and SIGHUP in a child process. A process
    that nohup or a background shell has started ignores these signals.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
