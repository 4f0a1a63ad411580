"""A pipeline with two jobs that uses the code of the suite. Each job runs the Python
script that has the name of the job.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "utils"))

from lake_ci.model.results import Finding
from lake_ci.pipeline import pipeline as graph
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite
from lake_ci.system.processes import Completed

nox.options.sessions = ["pipeline"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.allow_parallel = True

suite = Suite(ROOT)
nox.options.error_on_missing_interpreters = suite.strict

# Every nox process that loads this file keeps this pipe open until the process ends. So
# a test can wait for the end of all nox processes.
RUNNERS = ROOT / "runners"
if RUNNERS.exists():
    os.open(RUNNERS, os.O_WRONLY)


class Script(CommandCheck):
    """Runs a Python script in this folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, ctx: CheckContext) -> list[str]:
        return [str(ctx.python), f"{self.name}.py"]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterable[Finding]:
        return ()


@suite.job(minutes=5)
def first(run: Run) -> None:
    """The first job."""
    run.check(Script("first"))


@suite.job(needs=[first], minutes=5)
def second(run: Run) -> None:
    """The second job, which needs the first."""
    run.check(Script("second"))


@nox.session(venv_backend="none", default=True, allow_parallel=False)
def pipeline(session: nox.Session) -> None:
    """Both jobs."""
    graph.run_pipeline(suite, session)
