"""Routes of jobs. All API versions (2.0, 2.1 and 2.2) have the same routes."""

from __future__ import annotations

from typing import Any

from ..errors import missing_field
from ..routing import Answer, Call, Route
from .state import Jobs

VERSIONS = ("2.0", "2.1", "2.2")
# The request fields that do not belong to the settings of a job or a run.
OF_THE_REQUEST = ("idempotency_token", "access_control_list")


def routes(jobs: Jobs) -> list[Route]:
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
        changed, removed = (
            call.fields.get("new_settings") or {},
            call.fields.get("fields_to_remove") or [],
        )
        jobs.update(call.number("job_id"), changed, removed)
        return {}

    def delete(call: Call) -> Answer:
        jobs.delete(call.number("job_id"))
        return {}

    actions = [
        ("POST", "create", create),
        ("GET", "get", get),
        ("GET", "list", list_),
        ("POST", "reset", reset),
        ("POST", "update", update),
        ("POST", "delete", delete),
    ]
    return [
        Route(method, f"/api/{version}/jobs/{name}", handler)
        for version in VERSIONS
        for method, name, handler in actions
    ]


def settings_of(call: Call) -> dict[str, Any]:
    """Return the settings that a request contains, for a job or for a one-time run."""
    return {
        name: value for name, value in call.fields.items() if name not in OF_THE_REQUEST
    }


def page(name: str, found: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    """Return a page of a list. The page is selected with `offset` by databricks-cli,
    and with `page_token` by the SDK.
    """
    start = call.number("page_token", call.number("offset", 0))
    end = start + call.number("limit", 20)
    more = len(found) > end
    return {
        name: found[start:end],
        "has_more": more,
        **({"next_page_token": str(end)} if more else {}),
    }
