"""Routes of runs. All API versions (2.0, 2.1 and 2.2) have the same routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..routing import Answer, Call, Route
from .execution import Execution
from .routes import VERSIONS, page, settings_of
from .state import Jobs, shown


class Runs:
    """Handles requests about runs. The URL of a run's page starts with `url`."""

    def __init__(self, jobs: Jobs, execution: Execution, url: str) -> None:
        self._jobs = jobs
        self._execution = execution
        self._url = url

    def run_now(self, call: Call) -> Answer:
        job_id, token = call.number("job_id"), call.text("idempotency_token", "")
        settings = self._jobs.job(job_id)["settings"]
        run = self._jobs.known(token, job_id)
        if run is None:
            run = self._jobs.add_run(settings, call.fields, token, job_id)
            self._execution.start(run)
        return {"run_id": run["run_id"], "number_in_job": run["number_in_job"]}

    def submit(self, call: Call) -> Answer:
        token = call.text("idempotency_token", "")
        run = self._jobs.known(token)
        if run is None:
            run = self._jobs.add_run(settings_of(call), {}, token)
            self._execution.start(run)
        return {"run_id": run["run_id"]}

    def get(self, call: Call) -> Answer:
        return self._shown(self._jobs.run(call.number("run_id")))

    def list(self, call: Call) -> Answer:
        job_id = call.number("job_id") if "job_id" in call.fields else None
        which = {
            "active": call.flag("active_only"),
            "completed": call.flag("completed_only"),
        }
        found = [self._shown(run) for run in self._jobs.runs(job_id, **which)]
        if not call.flag("expand_tasks"):
            for run in found:
                del run["tasks"]
        return page("runs", found, call)

    def output(self, call: Call) -> Answer:
        return self._execution.output(call.number("run_id"))

    def cancel(self, call: Call) -> Answer:
        self._execution.cancel(call.number("run_id"))
        return {}

    def cancel_all(self, call: Call) -> Answer:
        job = self._jobs.job(call.number("job_id"))
        for run in self._jobs.runs(job["job_id"], active=True, completed=False):
            self._execution.cancel(run["run_id"])
        return {}

    def delete(self, call: Call) -> Answer:
        self._jobs.delete_run(call.number("run_id"))
        return {}

    def _shown(self, run: Mapping[str, Any]) -> dict[str, Any]:
        found = shown(run)
        return {
            **found,
            "run_page_url": (
                f"{self._url}/?o=1#job/{run.get('job_id', 0)}/run/{run['run_id']}"
            ),
        }


def routes(jobs: Jobs, execution: Execution, url: str) -> list[Route]:
    runs = Runs(jobs, execution, url)
    actions = [
        ("POST", "run-now", runs.run_now),
        ("POST", "runs/submit", runs.submit),
        ("GET", "runs/get", runs.get),
        ("GET", "runs/list", runs.list),
        ("GET", "runs/get-output", runs.output),
        ("POST", "runs/cancel", runs.cancel),
        ("POST", "runs/cancel-all", runs.cancel_all),
        ("POST", "runs/delete", runs.delete),
    ]
    return [
        Route(method, f"/api/{version}/jobs/{name}", handler)
        for version in VERSIONS
        for method, name, handler in actions
    ]
