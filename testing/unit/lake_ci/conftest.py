"""Fixtures: clean environment variables, real git repositories, and a check context
with fake commands whose outputs a test defines.
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
# Variables of the outer run, which must not affect the runs of the tests.
OUTER = re.compile(
    r"(LAKE_CI|GITHUB|GIT|NOX|COV|COVERAGE|PYTEST|RUNNER)_.*"
    r"|CI|VIRTUAL_ENV|FORCE_COLOR|NO_COLOR"
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of the outer run, and ignore the user's git settings."""
    for name in list(os.environ):
        if OUTER.fullmatch(name) and name != "PYTEST_CURRENT_TEST":
            monkeypatch.delenv(name)
    monkeypatch.setenv(
        "PATH", os.environ["PATH"]
    )  # a suite extends PATH; after the test, the old value is restored
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.com")


@pytest.fixture
def git() -> Callable[..., str]:
    """Return a function that runs git in a folder and returns its output: `git(folder,
    "add", ".")`.
    """

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository that the fixture `root` copies. The repository is created
    only once, because git is slow.
    """
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
    """Return a repository on the branch `feature` with one commit of one file."""
    return Path(shutil.copytree(template, tmp_path / "repository"))


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real virtual environment that contains only Python."""
    folder = tmp_path_factory.mktemp("environment") / "lint"
    # Use the base interpreter, as nox does. If the Python of a virtual environment
    # created the environment, `home` in pyvenv.cfg would be that virtual environment.
    python = Path(
        sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"
    )
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture
def ctx(root: Path, tmp_path: Path) -> CheckContext:
    """Return a context in which every command is an error until the test defines
    outputs with `answering`.
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
    """Return a function that defines the outputs of the context's next commands, as in
    `answering(first, second)`. The last output is repeated.

    An output is a `Completed`, or a function that returns a `Completed` for a command.
    `answering` returns the list in which the commands are recorded.
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
    """After each test, remove the sessions that the test has declared, because nox
    stores them in this process.
    """
    yield
    if "nox" in sys.modules:
        sys.modules["nox"].registry.reset()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Let this process handle signals, even if a background shell made it ignore
    SIGINT. After the test, restore the handlers.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Nox:
    """Runs nox on a noxfile that the test writes. nox runs in this process, so that
    coverage measures the code, or in a separate process.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, declarations: str) -> None:
        """Write the noxfile: the common part, followed by the test's declarations."""
        (self.root / "noxfile.py").write_text(NOXFILE + textwrap.dedent(declarations))

    def here(self, *arguments: str) -> int:
        """Run nox in this process and return the exit code."""
        import nox
        from nox import _cli, _options

        nox.registry.reset()
        try:
            return _cli.execute_workflow(_options.options.parse_args(list(arguments)))
        except SystemExit as error:
            return int(error.code or 0)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start nox in a separate process."""
        command = [sys.executable, "-m", "nox", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.root, **{**pipes, **options})

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run nox in a separate process. Returns the exit code and the whole output."""
        with self.start(*arguments) as process:
            output = process.communicate()[0]
        return process.returncode, output

    def result(self, job: str) -> Result:
        return results.read(self.root / "reports" / job)

    def statuses(self) -> dict[str, tuple[str, str | None]]:
        """Return the status and the cause of every session that has a result."""
        found = (
            results.read(path.parent)
            for path in self.root.glob("reports/*/result.json")
        )
        return {result.session: (result.status.value, result.cause) for result in found}


@pytest.fixture
def nox_run(root: Path, monkeypatch: pytest.MonkeyPatch, handlers: None) -> Nox:
    """Return an object that runs nox in the repository `root`."""
    import nox
    from nox import _options

    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(Path(results.__file__).parents[2]))
    # Disable the cache: a cached result would hide what a session does. Tests of the
    # cache enable it.
    monkeypatch.setenv("LAKE_CI_CACHE", "off")
    # The options of a noxfile would otherwise remain for the whole process.
    monkeypatch.setattr(nox, "options", _options.NoxfileOptions())
    return Nox(root)
