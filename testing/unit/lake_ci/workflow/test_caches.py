"""Each job on GitHub reads and writes exactly the caches that the table in README.md
lists for the job.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lake_ci.workflow.workflow import SUMMARY
from testing.unit.lake_ci.workflow import github_rules as github
from testing.unit.lake_ci.workflow.github_rules import Trigger
from testing.unit.lake_ci.workflow.test_conditions import DECLARED, TRIGGERS

REPOSITORY = Path(__file__).parents[4]
SETUP = ".github/actions/setup"
STATUS = {"success()": True, "failure()": False, "always()": True, "cancelled()": False}
USES = {"actions/cache": "read, write", "actions/cache/restore": "read"}
# The name of each cache, by the first part of its keys.
CACHES = ("packages", "results")


def parse(file: str) -> dict[str, Any]:
    return github.parse((REPOSITORY / file).read_text(encoding="utf-8"))


JOBS = {
    name: next(step for step in job["steps"] if step.get("uses") == f"./{SETUP}")
    for name, job in parse(".github/workflows/ci.yml")["jobs"].items()
    if any(step.get("uses") == f"./{SETUP}" for step in job["steps"])
}
ACTION = yaml.safe_load((REPOSITORY / SETUP / "action.yml").read_text(encoding="utf-8"))


def inputs(job: str, trigger: Trigger) -> dict[str, str]:
    """Return the inputs of the action `setup` in a job, for an event."""
    found = {
        name: declared.get("default", "") for name, declared in ACTION["inputs"].items()
    }
    for name, value in JOBS[job]["with"].items():
        if str(value).startswith("${{ ("):
            value = github.holds(value, {**trigger.context, "vars": {}}, STATUS)
        found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def used(job: str, trigger: Trigger, env: dict[str, str]) -> dict[str, str]:
    """Return a job's use of each cache for an event: `no`, `read`, or `read, write`."""
    found = dict.fromkeys(CACHES, "no")
    contexts = {**trigger.context, "inputs": inputs(job, trigger), "env": env}
    for step in ACTION["runs"]["steps"]:
        action = step.get("uses", "").partition("@")[0]
        if action.startswith("actions/cache"):
            [cache] = [each for each in CACHES if step["with"]["key"].startswith(each)]
            if github.holds(step["if"], contexts, STATUS):
                assert found[cache] == "no", "two steps use one cache"
                found[cache] = USES[action]
    return found


def declared() -> list[tuple[str, str, dict[str, str]]]:
    """Return the rows of the table: jobs, event, and the use of each cache."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- caches -->\n")[2].partition("\n\n")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]
    return [(jobs, event, dict(zip(CACHES, cells))) for jobs, event, *cells in rows]


def row_of(job: str, trigger: Trigger) -> dict[str, str]:
    """Return the caches in the first row that matches a job and an event."""
    event = "others"
    if trigger.ref_type == "tag":
        event = "tag"
    elif trigger.fork:
        event = "pull request of a fork"
    for jobs, when, caches in declared():
        place = re.search(r" to (\w+)$", jobs)
        environment = trigger.inputs.get("environment", "trial")
        if place and (place[1] == "trial") != (environment == "trial"):
            continue
        if (f"`{job}`" in jobs or jobs in ("all", "others")) and when in (
            event,
            "others",
        ):
            return caches
    raise AssertionError(f"no row describes {job} at {event}")


@pytest.mark.parametrize("job", JOBS)
def test_each_job_uses_the_caches_of_the_table(job: str) -> None:
    for name, trigger in TRIGGERS.items():
        if job in DECLARED[name] | {SUMMARY}:
            assert used(job, trigger, {}) == row_of(job, trigger), name


def test_files_for_users_come_from_no_cache() -> None:
    nothing = dict.fromkeys(CACHES, "no")
    for trigger in TRIGGERS.values():
        for job in ("build", "verify"):
            assert used(job, trigger, {}) == nothing
    production = Trigger("workflow_dispatch", inputs={"environment": "production"})
    assert used("deploy", production, {}) == nothing


def test_a_variable_disables_the_cache_of_results() -> None:
    trigger = TRIGGERS["push to main"]
    off = used("lint", trigger, {"LAKE_CI_CACHE": "off"})
    assert off == {"packages": "read, write", "results": "no"}


def test_publish_uses_no_set_up() -> None:
    assert "publish" not in JOBS
