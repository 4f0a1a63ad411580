# /// script
# requires-python = ">=3.10"
# dependencies = ["jinja2==3.1.6", "msgspec==0.22.0", "nox[uv]==2026.10.20"]
# ///
"""Defines a session for each CI job, in pipeline order; then sessions for developers.

`nox` runs all jobs of an event, `nox -s X` only X. GitHub runs the same sessions.
"""

import sys
from datetime import date
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "utils"))

from lake_ci.checks import deploy as deploying, docs, input_audit as declarations
from lake_ci.checks.docker import build as images, stages as containers
from lake_ci.checks.kubernetes import kustomize, stages as kubernetes
from lake_ci.checks.lint import locks, stages as style
from lake_ci.checks.packaging import provenance, stages as distributions
from lake_ci.checks.performance import options as benchmarking, stages as benchmarks
from lake_ci.checks.security import stages as scans
from lake_ci.checks.terraform import plan as rehearsal, stages as infrastructure
from lake_ci.checks.tests import java, pytest, stages as testing
from lake_ci.model.job import EVENTS
from lake_ci.pipeline import cache_command as kept, pipeline as graph
from lake_ci.runner.run import Run
from lake_ci.runner.suite import Suite
from lake_ci.workflow import stages as github, workflow as actions

# The block at the top makes other versions of nox start this version by default.
nox.needs_version = "==2026.10.20"
nox.options.sessions = ["pipeline"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.allow_parallel = True

jobs = Suite(ROOT)
nox.options.error_on_missing_interpreters = jobs.strict

PYTHONS = ["3.9", "3.10", "3.11"]
JAVAS = ["11", "17"]
MACHINE = ["browser", "engine", "terraform", "api-server"]


@jobs.job(
    inputs=["*.py", "*.pyi", "*/py.typed", "{settings}", "requirements/*"],
    parser=style.parser,
    minutes=10,
)
def lint(run: Run) -> None:
    """Check style, imports, types, lock files and the workflow."""
    run.options(style.options)
    run.install("lint")
    run.check(*style.checks(), *github.checks(jobs.graph))


@jobs.job(
    events=EVENTS,
    reports=["findings.sarif", *scans.REPORTS],
    external_inputs=["advisories"],
    minutes=10,
)
def security(run: Run) -> None:
    """Scan packages, code and secrets; write all findings as SARIF."""
    run.install("security")
    run.check(*scans.checks(ROOT, date.today()))


@jobs.job(
    inputs=["{suite}", "terraform/*", "testing/aws/*", ".*"],
    reports=["junit.xml", "checkov.json", "plan.json", "plan.txt"],
    external_inputs=["terraform"],
    setup=["terraform"],
    minutes=20,
    parser=rehearsal.parser,
)
def terraform(run: Run) -> None:
    """Validate, test, plan and audit the lake's storage on AWS."""
    chosen = run.options(rehearsal.options)
    run.install("terraform")
    run.run_stages(infrastructure.stages(run.ctx, chosen))


@jobs.job(
    needs=[lint],
    inputs=["{suite}", "{lakekit}", ".*", "scripts/*"],
    pythons=PYTHONS,
    javas=JAVAS,
    reports=["coverage.xml", "junit.xml"],
    minutes=45,
    parser=lambda: pytest.parser("tests-3.11", affected=True),
)
def tests(run: Run) -> None:
    """Run unit and integration tests of lakekit and its API."""
    run.options(pytest.Arguments)
    run.install(f"test-java{run.java}")
    # The newest Python has the highest coverage, because only it runs the long tests.
    minimum = 95 if run.python == PYTHONS[-1] else 90
    run.check(*testing.checks(run, "lakekit", JAVAS, minimum=minimum))


@jobs.job(
    needs=[lint],
    inputs=["{suite}", "{suite-tests}", ".*"],
    pythons=PYTHONS[1:],  # nox needs Python 3.10
    reports=["coverage.xml", "junit.xml"],
    minutes=30,
    parser=lambda: pytest.parser("suite", affected=True),
)
def suite(run: Run) -> None:
    """Run the unit and integration tests of this suite."""
    run.options(pytest.Arguments)
    run.install("suite")
    run.check(*testing.checks(run, "suite", JAVAS, minimum=90))


@jobs.job(
    needs=[tests],
    inputs=["{suite}", "{code}", ".*", "docker/*", "*Dockerfile*", "security/*"],
    external_inputs=["advisories", "engine"],
    variables=["BASE"],
    reports=containers.REPORTS,
    setup=["engine"],
    history=True,
    minutes=30,
    parser=images.parser,
)
def docker(run: Run) -> None:
    """Lint, build and smoke-test images; compare two builds."""
    chosen = run.options(images.options)
    run.install("docker")
    run.run_stages(containers.stages(run.ctx, chosen, date.today()))


@jobs.job(
    needs=[docker],
    artifacts_from=["docker"],
    inputs=["{suite}", "{code}", ".*", "k8s/*", "terraform/environments/*"],
    external_inputs=["api-server"],
    reports=["manifests.yaml", "checkov.json", "junit.xml"],
    setup=["kubernetes"],
    minutes=10,
    parser=kustomize.parser,
)
def k8s(run: Run) -> None:
    """Check the manifests: schemas, rules, dry-run by an API server."""
    chosen = run.options(kustomize.options)
    run.install("k8s")
    run.run_stages(kubernetes.stages(run.ctx, chosen))


@jobs.job(
    needs=[k8s, security, terraform, suite],
    reports=["dist/", "SHA256SUMS", "sbom.json"],
    history=True,
    minutes=15,
)
def build(run: Run) -> None:
    """Build and check wheel and sdist; install both on each Python."""
    run.install("build")
    run.check(*distributions.checks(PYTHONS, run.event))


@jobs.job(
    needs=[build],
    events=["push:main", "workflow_dispatch", "tag"],
    artifacts_from=["build"],
    never_cached=True,
    history=True,
    minutes=5,
)
def verify(run: Run) -> None:
    """Verify the built files, and that GitHub built them from this commit."""
    run.run_stages(provenance.stages())


@jobs.job(
    needs=[build],
    events=["push:main"],
    reports=["benchmarks.json", "history.svg"],
    never_cached=True,
    history=True,
    minutes=20,
    parser=benchmarking.parser,
)
def performance(run: Run) -> None:
    """Compare the speed of this checkout with the previous commit."""
    chosen = run.options(lambda words: benchmarking.options(words, ROOT))
    run.install("performance")
    run.run_stages(benchmarks.stages(run.ctx, chosen, jobs.env))


@jobs.job(
    needs=[build, verify],
    events=["push:main", "workflow_dispatch"],
    artifacts_from=["build"],
    environment=True,
    never_cached=True,
    history=True,
    minutes=150,
    parser=deploying.parser,
)
def deploy(run: Run) -> None:
    """Deploy the wheel to Databricks, completely or not at all."""
    whole = jobs.planned is not None
    chosen = run.options(lambda words: deploying.options(words, jobs.env, whole=whole))
    run.install("deploy")
    run.run_stages(deploying.stages(run.ctx, chosen))


@jobs.job(
    events=["schedule", "workflow_dispatch"],
    reports=["junit.xml"],
    setup=MACHINE,
    external_inputs=["advisories", *MACHINE],
    variables=["BASE", "GITHUB_EVENT_NAME"],
    history=True,
    minutes=60,
    parser=lambda: pytest.parser("acceptance"),
)
def acceptance(run: Run) -> None:
    """Seed a defect for each check; the real tool must find it."""
    run.options(pytest.Arguments)
    run.install("acceptance")
    run.check(pytest.Pytest("acceptance", ["testing/acceptance"]))


@jobs.job(
    events=["schedule"],
    never_cached=True,
    setup=MACHINE,
    history=True,
    parser=declarations.parser,
    minutes=180,
)
def inputs(run: Run) -> None:
    """Run each job in a copy with only the job's declared inputs."""
    named = run.options(declarations.options).jobs
    with declarations.scratch() as folder:
        run.check(*declarations.checks(jobs.graph, ROOT, named, folder, "inputs"))


@nox.session(venv_backend="none", default=True, allow_parallel=False)
def pipeline(session: nox.Session) -> None:
    """Run all jobs of an event, as on GitHub; see `nox -- --help`."""
    graph.run_pipeline(jobs, session)


@nox.session(venv_backend="none")
def summary(session: nox.Session) -> None:
    """Report a run's results in reports/summary.md and index.html."""
    graph.summarize(jobs, session)


@nox.session(venv_backend="none")
def plan(session: nox.Session) -> None:
    """Print the jobs that an event would run, and why others are skipped."""
    graph.show_plan(jobs, session)


@nox.session(venv_backend="none")
def cache(session: nox.Session) -> None:
    """Show the result cache; `-- --status`, `--prune`, `--clear`."""
    kept.manage(jobs, session)


@jobs.helper(parser=actions.parser)
def workflow(run: Run) -> None:
    """Write ci.yml from the declared jobs; `-- --check` compares."""
    run.check(actions.tool(jobs.graph, run.posargs))


@jobs.helper()
def format(run: Run) -> None:
    """Fix formatting: isort, then black."""
    run.install("lint")
    run.check(*style.formatters())


@jobs.helper(setup=["browser"])
def pictures(run: Run) -> None:
    """Draw the README's pictures from a run and its report."""
    run.install("docs")
    run.check(*docs.pictures(ROOT / ".github" / "pictures"))


@jobs.helper(parser=locks.parser)
def lock(run: Run) -> None:
    """Compile requirements/; `-- --check` compares, `-- --upgrade` updates."""
    if "--check" in run.posargs:
        run.check(locks.Locks())
        return
    run.check(*locks.compile_locks(ROOT))
    run.install("test-java17")
    run.check(java.Java("17"), java.LockJars())
