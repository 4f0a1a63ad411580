"""Generates the GitHub workflow from the declared jobs, and checks the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from lake_ci.errors import UsageError
from lake_ci.model.events import Event, select
from lake_ci.model.job import ENVIRONMENTS, TRUNKS, Graph, Job
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.runner.generated_file import FORCE, Generated
from lake_ci.runner.options import Parser
from lake_ci.workflow.conditions import condition, release
from lake_ci.workflow.yaml import Commented, Value, dump

FILE = ".github/workflows/ci.yml"
WORKFLOW = Generated(FILE, session="workflow", source="noxfile.py")
HOW_TO_FIX = "run `nox -s workflow`"
RUNNER = "ubuntu-24.04"
# The minutes between the job's own time limit and GitHub's limit. At its own limit, a
# job ends its tools and writes a result. A job that GitHub stops writes no result.
SPARE_MINUTES = 15
SUMMARY = "summary"
PUBLISH = "publish"
# The report of a job that builds the files of a release.
DIST = "dist/"
# The environment of a deploy: a GitHub expression, alone and inside `${{ }}`.
CHOSEN = "inputs.environment || vars.DEPLOY_ENVIRONMENT || 'trial'"
ENVIRONMENT = f"${{{{ {CHOSEN} }}}}"
REPORT_FILES = "reports/index.html\nreports/summary.md"
# The programs that a job can request in addition to Python and git. Each program is an
# input of .github/actions/setup.
SETUPS = ("api-server", "browser", "engine", "kubernetes", "terraform")

# The values of these variables come from the GitHub environment. The values are not
# secret, because the service principal trusts this repository's runs.
CREDENTIALS = {
    "DATABRICKS_HOST": "${{ vars.DATABRICKS_HOST }}",
    "DATABRICKS_CLIENT_ID": "${{ vars.DATABRICKS_CLIENT_ID }}",
    "DATABRICKS_AUTH_TYPE": "github-oidc",
}

PINS = {
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "pypa/gh-action-pypi-publish": (
        "dc37677b2e1c63e2034f94d8a5b11f265b73ba33",
        "v1.14.2",
    ),
}


def uses(action: str) -> Commented:
    """Return a third-party action, pinned by commit id; a comment contains its tag."""
    commit, tag = PINS[action]
    return Commented(f"{action}@{commit}", tag)


def render(graph: Graph) -> str:
    """Return the text of the workflow file for these jobs."""
    deploys = any(job.environment for job in graph)
    closing = _closing(graph)
    taken = next((job.name for job in graph if job.name in closing), None)
    if taken is not None:
        message = f"noxfile.py: job {taken!r}: the workflow has a job of that name"
        raise UsageError(message, hint="rename the session")
    body: dict[str, Value] = {
        "name": "ci",
        "on": {
            "push": {"branches": list(TRUNKS), "tags": ["v*"]},
            "pull_request": {},
            "merge_group": {},
            "schedule": [{"cron": "0 2 * * *"}],
            "workflow_dispatch": _dispatch() if deploys else {},
        },
        "permissions": {},
        "concurrency": {
            # A new push to a pull request cancels the previous run of this pull
            # request. No other run is canceled.
            "group": (
                "ci-${{ github.event_name == 'pull_request' && github.ref ||"
                " github.run_id }}"
            ),
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
        # If the repository's variable LAKE_CI_CACHE is `off`, no result is cached.
        "env": {"LAKE_CI_STRICT": "1", "LAKE_CI_CACHE": "${{ vars.LAKE_CI_CACHE }}"},
        "jobs": {job.name: _job(job, graph) for job in graph} | closing,
    }
    return f"{WORKFLOW.first_line}\n{dump(body)}"


def _dispatch() -> Value:
    choice = {
        "description": "where to deploy",
        "type": "choice",
        "options": list(ENVIRONMENTS),
        "default": "trial",
    }
    return {"inputs": {"environment": choice}}


def _job(job: Job, graph: Graph) -> Value:
    unknown = set(job.setup) - set(SETUPS)
    if unknown:
        raise UsageError(
            f"noxfile.py: job {job.name!r}:"
            f" unknown set-up {min(unknown)!r}; there are {SETUPS}"
        )
    matrix = len(job.variants) > 1
    body: dict[str, Value] = {"name": "${{ matrix.session }}" if matrix else job.name}
    if job.needs:
        body["needs"] = list(job.needs)
    if condition(job):
        body["if"] = condition(job)
    body["runs-on"] = RUNNER
    body["timeout-minutes"] = int(job.minutes) + SPARE_MINUTES
    body["permissions"] = _permissions(job)
    if job.environment:
        body["environment"] = ENVIRONMENT
        body["concurrency"] = {
            "group": f"{job.name}-{ENVIRONMENT}",
            "cancel-in-progress": False,
        }
    if matrix:
        variants = [
            {"session": one.session, "id": one.id, "python": one.python or ""}
            for one in job.variants
        ]
        body["strategy"] = {"fail-fast": False, "matrix": {"include": variants}}
    body["steps"] = list(_steps(job, graph, matrix=matrix))
    return body


def _permissions(job: Job) -> Value:
    permissions: dict[str, Value] = {"contents": Commented("read", "to check out")}
    if "coverage.xml" in job.reports:
        permissions["id-token"] = Commented("write", "Codecov knows the run by it")
    if job.environment:
        permissions["id-token"] = Commented("write", "Databricks knows the run by it")
    if "findings.sarif" in job.reports:
        permissions["security-events"] = Commented("write", "to upload the findings")
    if DIST in job.reports:
        permissions["id-token"] = Commented("write", "to sign the attestation")
        permissions["attestations"] = Commented("write", "to store the attestation")
    return permissions


def _steps(job: Job, graph: Graph, *, matrix: bool) -> Iterable[Value]:
    first = job.variants[0]
    python = "${{ matrix.python }}" if matrix else first.python or ""
    yield _checkout(history=job.history)
    itself = "${{ matrix.id }}" if matrix else first.id
    setup = {"python": python} | dict.fromkeys(job.setup, "true")
    setup |= _caches(job, graph, itself)
    yield {"uses": "./.github/actions/setup", "with": setup}
    if job.artifacts_from:
        yield {
            "uses": "./.github/actions/artifacts-in",
            "with": {"jobs": " ".join(job.artifacts_from)},
        }
    environment: dict[str, Value] = {
        "SESSION": "${{ matrix.session }}" if matrix else first.session
    }
    if job.environment:
        environment["DEPLOY_ENVIRONMENT"] = ENVIRONMENT
        environment |= CREDENTIALS
    yield {"run": 'nox -s "$SESSION"', "env": environment}
    given: dict[str, Value] = {"job": itself, "status": "${{ job.status }}"}
    for report, name in (
        ("coverage.xml", "coverage"),
        ("findings.sarif", "sarif"),
        (DIST, "dist"),
    ):
        if report in job.reports:
            given[name] = "true"
    # Also upload files after a failure or a cancellation.
    yield {"uses": "./.github/actions/artifacts-out", "if": "always()", "with": given}


def _caches(job: Job, graph: Graph, itself: str) -> dict[str, str]:
    """Return the inputs of the setup action that limit which caches a job uses.

    A job that builds, verifies or deploys files for users uses no cache, because runs
    of other branches and pull requests also write to the caches.
    """
    if job.environment:
        return {"packages": f"${{{{ ({CHOSEN}) == 'trial' }}}}"}
    if DIST in job.reports or _reads_dist(job, graph):
        return {"packages": "false"}
    return {} if job.never_cached else {"results": itself}


def _reads_dist(job: Job, graph: Graph) -> bool:
    """Return whether a job reads the files of a release."""
    return any(DIST in graph.jobs[need].reports for need in job.artifacts_from)


def _checkout(*, history: bool) -> Value:
    depth: dict[str, Value] = {"fetch-depth": 0, "fetch-tags": True} if history else {}
    return {
        "uses": uses("actions/checkout"),
        "with": {"persist-credentials": False} | depth,
    }


def _closing(graph: Graph) -> dict[str, Value]:
    names = [job.name for job in graph]
    jobs: dict[str, Value] = {
        SUMMARY: {
            "name": SUMMARY,
            "needs": names,
            "if": "always()",
            "runs-on": RUNNER,
            "timeout-minutes": SPARE_MINUTES,
            "permissions": {
                "contents": Commented("read", "to check out"),
                "issues": Commented("write", "a failed nightly run opens one"),
            },
            "steps": [
                _checkout(history=False),
                {"uses": "./.github/actions/setup", "with": {"python": "3.11"}},
                {"uses": "./.github/actions/artifacts-in", "with": {"jobs": "*"}},
                {
                    "run": 'nox -s "$SESSION"',
                    "env": {
                        "SESSION": SUMMARY,
                        "NEEDS": "${{ toJSON(needs) }}",
                        "GITHUB_TOKEN": "${{ github.token }}",
                    },
                },
                {
                    "uses": "./.github/actions/artifacts-out",
                    "if": "always()",
                    "with": {
                        "job": SUMMARY,
                        "status": "${{ job.status }}",
                        "path": REPORT_FILES,
                    },
                },
            ],
        }
    }
    # If a release needed a job that a tag does not start, the release would never run.
    tagged = select(graph, Event("tag")).starts
    built = [job.name for job in tagged if DIST in job.reports]
    verified = [job.name for job in tagged if _reads_dist(job, graph)]
    if built:
        jobs[PUBLISH] = _publish([*built, *verified, SUMMARY])
    return jobs


def _publish(needs: list[str]) -> Value:
    comment = "trusted publishing: no token is kept anywhere"
    folder = {"name": "dist", "path": "dist"}
    return {
        "name": PUBLISH,
        "needs": needs,
        "if": release(needs),
        "runs-on": RUNNER,
        "timeout-minutes": SPARE_MINUTES,
        "permissions": {"id-token": Commented("write", comment)},
        "environment": "pypi",
        "steps": [
            {"uses": uses("actions/download-artifact"), "with": folder},
            {"uses": uses("pypa/gh-action-pypi-publish")},
        ],
    }


def parser() -> Parser:
    """Return the parser of the options of `nox -s workflow`."""
    parser = Parser("nox -s workflow --", "Write ci.yml from the declared jobs.")
    parser.add_argument(
        "--check", action="store_true", help="compare and write nothing"
    )
    parser.add_argument(
        FORCE,
        action="store_true",
        help="overwrite a file that this command did not generate",
    )
    return parser


def tool(graph: Graph, posargs: Sequence[str]) -> Check:
    """Return the check that `nox -s workflow` runs for these arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    typed = parser().parse_args(list(posargs))
    return InSync(graph) if typed.check else Write(graph)


class InSync(Check):
    """The committed workflow file equals the file generated from the declared jobs."""

    name = "workflow"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, ctx: CheckContext) -> Outcome:
        foreign = WORKFLOW.foreign(self.name, ctx)
        if foreign is not None:
            return Outcome(Status.FAILURE, "not a generated file", (foreign,))
        path = ctx.root / FILE
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        after = render(self.graph).splitlines()
        diff = list(
            difflib.unified_diff(
                before, after, f"{FILE} as it is", f"{FILE} as declared", lineterm=""
            )
        )
        if not diff:
            return Outcome(Status.SUCCESS, "as declared")
        pairs = zip(before, after)
        line = next(
            (number for number, (one, two) in enumerate(pairs, 1) if one != two),
            min(len(before), len(after)) + 1,
        )
        message = "\n".join(
            [f"the file does not match the declarations; {HOW_TO_FIX}", *diff]
        )
        return Outcome(
            Status.FAILURE,
            f"out of date; {HOW_TO_FIX}",
            (Finding(self.name, "in-sync", message, FILE, max(line, 1)),),
        )


class Write(Check):
    """Write the workflow file; overwrite only a generated file."""

    name = "workflow"
    exclusive = True

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, ctx: CheckContext) -> Outcome:
        return WORKFLOW.write(self.name, ctx, render(self.graph))
