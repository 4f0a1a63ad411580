# /// script
# requires-python = ">=3.10"
# dependencies = ["jinja2==3.1.6", "msgspec==0.22.0", "nox[uv]==2026.10.20"]
# ///
"""A small pipeline whose tools are quick programs of the standard library."""

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "utils"))
sys.path.insert(0, str(ROOT))

from tools import Compile, RunApp, Unittest, Zip

from lake_ci.pipeline import pipeline as graph
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite
from lake_ci.workflow import workflow as actions

nox.options.sessions = ["pipeline"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.allow_parallel = True

suite = Suite(ROOT)


@suite.job(inputs=["*.py"], minutes=5)
def lint(run: Run) -> None:
    """Checks that every file compiles."""
    run.check(Compile("app"), Compile("tests"))


@suite.job(needs=[lint], pythons=["3.10", "3.11"], minutes=5)
def tests(run: Run) -> None:
    """Unit tests."""
    run.check(Unittest())


@suite.job(needs=[tests], reports=["dist/"], history=True, minutes=5)
def build(run: Run) -> None:
    """Builds the application as one file."""
    run.check(Zip())


@suite.job(needs=[build], artifacts_from=["build"], events=["push:main"], minutes=5)
def performance(run: Run) -> None:
    """Runs the built application; only pushes to main start this job."""
    run.check(RunApp("timed"))


@suite.job(
    needs=[build],
    artifacts_from=["build"],
    environment=True,
    events=["push:main", "workflow_dispatch"],
    minutes=5,
)
def deploy(run: Run) -> None:
    """Runs the same file that `build` has built."""
    run.check(RunApp("deployed"))


@suite.job(events=["schedule", "workflow_dispatch"], minutes=5)
def nightly(run: Run) -> None:
    """A job that the nightly schedule starts."""
    run.check(Compile("app"))


@nox.session(venv_backend="none", default=True, allow_parallel=False)
def pipeline(session: nox.Session) -> None:
    """Runs all jobs of an event."""
    graph.run_pipeline(suite, session)


@nox.session(venv_backend="none")
def summary(session: nox.Session) -> None:
    """Collect the results of a run."""
    graph.summarize(suite, session)


@suite.helper()
def workflow(run: Run) -> None:
    """Write .github/workflows/ci.yml from the declarations."""
    run.check(actions.Write(suite.graph))
