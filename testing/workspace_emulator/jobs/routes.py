"""The requests to jobs and runs, the same on the API's versions 2.0, 2.1 and 2.2."""

from __future__ import annotations

from typing import Any

from workspace_emulator.errors import missing_field
from workspace_emulator.jobs.execution import Execution, shown
from workspace_emulator.jobs.state import Jobs
from workspace_emulator.routing import Answer, Call, Route

VERSIONS = ("2.0", "2.1", "2.2")
# What is not of the job but of the request.
OF_THE_REQUEST = ("idempotency_token", "access_control_list")


def routes(jobs: Jobs, execution: Execution, url: str) -> list[Route]:
    def settings_of(call: Call) -> dict[str, Any]:
        return {name: value for name, value in call.fields.items() if name not in OF_THE_REQUEST}

    def create(call: Call) -> Answer:
        return {"job_id": jobs.create(settings_of(call))}

    def get(call: Call) -> Answer:
        return jobs.job(call.number("job_id"))

    def list_(call: Call) -> Answer:
        found = jobs.jobs(call.text("name", ""))
        if not call.flag("expand_tasks"):
            for job in found:
                job["settings"].pop("tasks", None)
        return page("jobs", found, call)

    def reset(call: Call) -> Answer:
        if not isinstance(call.fields.get("new_settings"), dict):
            raise missing_field("new_settings")
        jobs.reset(call.number("job_id"), call.fields["new_settings"])
        return {}

    def update(call: Call) -> Answer:
        changed, removed = call.fields.get("new_settings") or {}, call.fields.get("fields_to_remove") or []
        jobs.update(call.number("job_id"), changed, removed)
        return {}

    def delete(call: Call) -> Answer:
        jobs.delete(call.number("job_id"))
        return {}

    def run_now(call: Call) -> Answer:
        job_id, token = call.number("job_id"), call.text("idempotency_token", "")
        settings = jobs.job(job_id)["settings"]
        run = jobs.known(token, job_id)
        if run is None:
            run = jobs.add_run(settings, call.fields, token, job_id)
            execution.start(run)
        return {"run_id": run["run_id"], "number_in_job": run["number_in_job"]}

    def submit(call: Call) -> Answer:
        token = call.text("idempotency_token", "")
        run = jobs.known(token)
        if run is None:
            run = jobs.add_run(settings_of(call), {}, token)
            execution.start(run)
        return {"run_id": run["run_id"]}

    def run(call: Call) -> Answer:
        return with_page(shown(jobs.run(call.number("run_id"))))

    def with_page(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "run_page_url": f"{url}/?o=1#job/{found.get('job_id', 0)}/run/{found['run_id']}"}

    def runs(call: Call) -> Answer:
        job_id = call.number("job_id") if "job_id" in call.fields else None
        which = {"active": call.flag("active_only"), "completed": call.flag("completed_only")}
        found = [with_page(shown(each)) for each in jobs.runs(job_id, **which)]
        if not call.flag("expand_tasks"):
            for each in found:
                del each["tasks"]
        return page("runs", found, call)

    def output(call: Call) -> Answer:
        return execution.output(call.number("run_id"))

    def cancel(call: Call) -> Answer:
        execution.cancel(call.number("run_id"))
        return {}

    def cancel_all(call: Call) -> Answer:
        for each in jobs.runs(jobs.job(call.number("job_id"))["job_id"], active=True, completed=False):
            execution.cancel(each["run_id"])
        return {}

    def delete_run(call: Call) -> Answer:
        jobs.delete_run(call.number("run_id"))
        return {}

    found = []
    for version in VERSIONS:
        base = f"/api/{version}/jobs"
        found += [
            Route("POST", f"{base}/create", create),
            Route("GET", f"{base}/get", get),
            Route("GET", f"{base}/list", list_),
            Route("POST", f"{base}/reset", reset),
            Route("POST", f"{base}/update", update),
            Route("POST", f"{base}/delete", delete),
            Route("POST", f"{base}/run-now", run_now),
            Route("POST", f"{base}/runs/submit", submit),
            Route("GET", f"{base}/runs/get", run),
            Route("GET", f"{base}/runs/list", runs),
            Route("GET", f"{base}/runs/get-output", output),
            Route("POST", f"{base}/runs/cancel", cancel),
            Route("POST", f"{base}/runs/cancel-all", cancel_all),
            Route("POST", f"{base}/runs/delete", delete_run),
        ]
    return found


def page(name: str, found: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    """A page of a list, by `offset` as databricks-cli asks, or by `page_token` as the SDK does."""
    limit = call.number("limit", 20)
    start = call.number("page_token", call.number("offset", 0))
    end = start + limit
    more = len(found) > end
    return {name: found[start:end], "has_more": more, **({"next_page_token": str(end)} if more else {})}
