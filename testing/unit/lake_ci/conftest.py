"""A clean environment, real git repositories, and a check context whose commands a test
answers itself.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lake_ci.model import results
from lake_ci.model.results import Result
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

NOXFILE = """\
import os
import sys
from pathlib import Path

import nox

from lake_ci.pipeline import pipeline as graph
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.suite import Suite
from lake_ci.runner.check import Check, crashed, stopped

nox.options.sessions = ["pipeline"]
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.allow_parallel = True
suite = Suite(Path(__file__).resolve().parent)
nox.options.error_on_missing_interpreters = suite.strict


class Shell(Check):
    def __init__(self, command):
        self.name = self.command = command

    def run(self, ctx):
        done = ctx.execute(["/bin/sh", "-c", self.command])
        if done.code != 0:
            return stopped(self.name, done) or crashed(self.name, done)
        return Outcome(Status.SUCCESS, done.stdout.strip())


@nox.session(venv_backend="none", allow_parallel=False)
def pipeline(session):
    \"\"\"The whole graph.\"\"\"
    graph.run_pipeline(suite, session)


@nox.session(venv_backend="none", default=False)
def plan(session):
    \"\"\"What would run.\"\"\"
    graph.show_plan(suite, session)


@nox.session(venv_backend="none", default=False)
def summary(session):
    \"\"\"What ran.\"\"\"
    graph.summarize(suite, session)


"""
# What the run that runs these tests was told is not meant for the runs they start.
OUTER = re.compile(
    r"(LAKE_CI|GITHUB|GIT|NOX|COV|COVERAGE|PYTEST|RUNNER)_.*"
    r"|CI|VIRTUAL_ENV|FORCE_COLOR|NO_COLOR"
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the outer run, and no settings of the user's own git."""
    for name in list(os.environ):
        if OUTER.fullmatch(name) and name != "PYTEST_CURRENT_TEST":
            monkeypatch.delenv(name)
    monkeypatch.setenv(
        "PATH", os.environ["PATH"]
    )  # put back afterwards: a suite adds to it
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.com")


@pytest.fixture
def git() -> Callable[..., str]:
    """Runs git in a folder and returns what it printed: `git(folder, "add", ".")`."""

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that `root` copies; made once, for git takes a while."""
    folder = tmp_path_factory.mktemp("template")
    (folder / ".gitignore").write_text(
        "/.cache/\n/.nox/\n/dist/\n/reports/\n__pycache__/\n"
    )
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for command in (
        ["init", "-q", "-b", "feature"],
        ["add", "."],
        [*who, "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def root(tmp_path: Path, template: Path) -> Path:
    """A repository on the branch `feature` with one commit of one file."""
    return Path(shutil.copytree(template, tmp_path / "repository"))


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real environment with nothing in it but Python."""
    folder = tmp_path_factory.mktemp("environment") / "lint"
    # Of the real interpreter, as nox makes them: one that was made by another
    # environment's names that one as its home.
    python = Path(
        sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"
    )
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture
def ctx(root: Path, tmp_path: Path) -> CheckContext:
    """A context on which every command is a surprise, until `answering` says what it
    prints.
    """
    reports = root / "reports" / "job"
    reports.mkdir(parents=True)

    def surprise(argv: list[str], **options: Any) -> Completed:
        raise AssertionError(f"unexpected command: {argv}")

    return CheckContext(
        root=root,
        reports=reports,
        python=tmp_path / "environment" / "bin" / "python",
        env={"PATH": os.environ["PATH"]},
        execute=surprise,
    )


@pytest.fixture
def answering(ctx: CheckContext) -> Callable[..., list[list[str]]]:
    """`answering(first, second)`: what the context's next commands print; the last
    answers all that follow.

    An answer is a `Completed`, or a function of the command that makes one. Returns the
    list that the commands are noted in.
    """

    def prepare(
        *answers: Completed | Callable[[list[str]], Completed]
    ) -> list[list[str]]:
        calls: list[list[str]] = []

        def execute(argv: list[str], **options: Any) -> Completed:
            answer = answers[min(len(calls), len(answers) - 1)]
            calls.append(list(argv))
            return answer if isinstance(answer, Completed) else answer(list(argv))

        ctx.execute = execute
        return calls

    return prepare


@pytest.fixture(autouse=True)
def no_session_left() -> Iterator[None]:
    """Remove the sessions that a test has declared: nox keeps them in the process, for
    the tests that follow.
    """
    yield
    if "nox" in sys.modules:
        sys.modules["nox"].registry.reset()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals are handled, also if a background shell ignores SIGINT;
    afterwards all is as before.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Nox:
    """nox on a noxfile of the test, in this process (so that coverage sees it) or in
    one of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, declarations: str) -> None:
        """Write the noxfile: the declarations, below what all have in common."""
        (self.root / "noxfile.py").write_text(NOXFILE + textwrap.dedent(declarations))

    def here(self, *arguments: str) -> int:
        """Run it in this process and return its exit code."""
        import nox
        from nox import _cli, _options

        nox.registry.reset()
        try:
            return _cli.execute_workflow(_options.options.parse_args(list(arguments)))
        except SystemExit as error:
            return int(error.code or 0)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it in a process of its own."""
        command = [sys.executable, "-m", "nox", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.root, **{**pipes, **options})

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it in a process of its own; its exit code, and all it printed."""
        with self.start(*arguments) as process:
            output = process.communicate()[0]
        return process.returncode, output

    def result(self, job: str) -> Result:
        return results.read(self.root / "reports" / job)

    def statuses(self) -> dict[str, tuple[str, str | None]]:
        """Status and cause of every job that left a result."""
        found = (
            results.read(path.parent)
            for path in self.root.glob("reports/*/result.json")
        )
        return {result.session: (result.status.value, result.cause) for result in found}


@pytest.fixture
def nox_run(root: Path, monkeypatch: pytest.MonkeyPatch, handlers: None) -> Nox:
    """nox in the repository `root`."""
    import nox
    from nox import _options

    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(Path(results.__file__).parents[2]))
    # What a session does is not seen where its result is reused; the tests of that
    # switch it on.
    monkeypatch.setenv("LAKE_CI_CACHE", "off")
    # What a noxfile sets there lives as long as the process.
    monkeypatch.setattr(nox, "options", _options.NoxfileOptions())
    return Nox(root)
