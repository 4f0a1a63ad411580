"""A pipeline of quick jobs, with which testing/acceptance/changes.py tests the result
cache. The row of each job contains a digest of the job's inputs.
"""

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "utils"))

from lake_ci.checks import input_audit as declarations
from lake_ci.model.results import Outcome, Status
from lake_ci.pipeline import pipeline as graph
from lake_ci.runner.check import Check, CheckContext, crashed
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite

nox.options.sessions = ["pipeline"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.allow_parallel = True

suite = Suite(ROOT)


class Look(Check):
    """Runs look.py, which prints a digest of the job's inputs."""

    name = "look"

    def __init__(self, *arguments: str, leaves: str = "") -> None:
        self.arguments = arguments
        self.leaves = leaves

    def run(self, ctx: CheckContext) -> Outcome:
        done = ctx.execute([str(ctx.python), "look.py", *self.arguments])
        if done.code != 0:
            return crashed(self.name, done)
        said = done.stdout.strip()
        (ctx.reports / "seen.txt").write_text(said, encoding="utf-8")
        if self.leaves:
            (ctx.root / "dist").mkdir(exist_ok=True)
            (ctx.root / "dist" / self.leaves).write_text(said, encoding="utf-8")
        return Outcome(Status.SUCCESS, said)


@suite.job(
    inputs=["sql/*", "look.py"],
    variables=["DIALECT"],
    external_inputs=["advisories"],
    reports=["seen.txt"],
    minutes=5,
)
def transforms(run: Run) -> None:
    """Reads the SQL files, the variable DIALECT and the advisories."""
    outside = run.ctx.env.get("LAKE_CI_ADVISORIES")
    run.check(
        Look(
            "sql/*",
            "look.py",
            "--variable=DIALECT",
            *([f"--folder={outside}"] if outside else []),
        )
    )


@suite.job(inputs=["*.py"], minutes=5)
def style(run: Run) -> None:
    """Reads every Python file."""
    run.check(Look("*.py"))


@suite.job(needs=[style], minutes=5)
def everything(run: Run) -> None:
    """Reads every file."""
    run.check(Look("."))


@suite.job(
    needs=[transforms],
    artifacts_from=["transforms"],
    inputs=["look.py", "pack/*"],
    minutes=5,
)
def dependent(run: Run) -> None:
    """Reads the reports of the job `transforms`."""
    run.check(Look("look.py", "pack/*", "--folder=reports/transforms"))


@suite.job(needs=[everything], history=True, reports=["dist/"], minutes=5)
def release(run: Run) -> None:
    """Reads every file, and the id of the commit."""
    run.check(Look(".", "--git", leaves="release.txt"))


@suite.job(
    events=["schedule"], never_cached=True, minutes=10, parser=declarations.parser
)
def inputs(run: Run) -> None:
    """Runs each job in a copy that contains only the job's declared inputs."""
    with declarations.scratch() as folder:
        run.check(
            *declarations.checks(
                suite.graph, ROOT, run.posargs, Path(folder), itself="inputs"
            )
        )


@nox.session(venv_backend="none", default=True, allow_parallel=False)
def pipeline(session: nox.Session) -> None:
    """All jobs."""
    graph.run_pipeline(suite, session)


@nox.session(venv_backend="none", default=False)
def plan(session: nox.Session) -> None:
    """What would run."""
    graph.show_plan(suite, session)
