"""Stores jobs and runs as documents. The module `execution` executes the runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..errors import invalid_parameter
from ..store import Document, Store
from ..tree import milliseconds
from . import errors
from .tasks import tasks_of

ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
MAX_TOKEN = 64
GIVEN = ("python_params", "python_named_params", "job_parameters")


class Jobs:
    """Jobs and runs by id. The ids of runs and of task runs come from one sequence."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._jobs = store.collection("job")
        self._runs = store.collection("run")
        self._parents = store.collection("task_run")
        self._tokens = store.collection("idempotency_token")
        self._owner = owner

    # Jobs

    def create(self, settings: Mapping[str, Any]) -> int:
        """Store a job and return its id. Raises ApiError for invalid settings."""
        tasks_of(settings)
        job_id = self._store.next_number("job")
        self._jobs[str(job_id)] = {
            "job_id": job_id,
            "creator_user_name": self._owner,
            "run_as_user_name": self._owner,
            "created_time": milliseconds(time.time()),
            "settings": {"name": "Untitled", "max_concurrent_runs": 1, **settings},
        }
        return job_id

    def job(self, job_id: int) -> Document:
        """Return a job in the API's format."""
        if str(job_id) not in self._jobs:
            raise errors.no_job(job_id)
        return self._jobs[str(job_id)]

    def jobs(self, name: str) -> list[Document]:
        """Return all jobs, or the jobs with this name, newest first."""
        found = reversed(list(self._jobs.values()))
        return [
            job
            for job in found
            if not name or job["settings"]["name"].lower() == name.lower()
        ]

    def reset(self, job_id: int, settings: Mapping[str, Any]) -> None:
        """Replace a job's settings."""
        self.job(job_id)
        tasks_of(settings)
        whole = {"name": "Untitled", "max_concurrent_runs": 1, **settings}
        self._jobs.change(str(job_id), settings=whole)

    def update(
        self, job_id: int, settings: Mapping[str, Any], removed: list[str]
    ) -> None:
        """Change some settings of a job, and remove the settings in `removed`."""
        remaining = {
            name: value
            for name, value in self.job(job_id)["settings"].items()
            if name not in removed
        }
        self.reset(job_id, {**remaining, **settings})

    def delete(self, job_id: int) -> None:
        """Delete a job. The runs of the job are not deleted."""
        self.job(job_id)
        del self._jobs[str(job_id)]

    # Runs

    def known(self, token: str, job_id: int | None = None) -> Document | None:
        """Return the run that was started with an idempotency token."""
        if len(token) > MAX_TOKEN:
            raise invalid_parameter(
                f"idempotency_token has more than {MAX_TOKEN} characters"
            )
        key = _token_key(token, job_id)
        return (
            self._runs[str(self._tokens[key]["run_id"])]
            if token and key in self._tokens
            else None
        )

    def add_run(
        self,
        settings: Mapping[str, Any],
        given: Mapping[str, Any],
        token: str,
        job_id: int | None = None,
    ) -> Document:
        """Store a new run before it starts. `given` contains the parameters of
        run-now.
        """
        tasks = tasks_of(settings)
        run_id = self._number()
        now = milliseconds(time.time())
        run: Document = {
            "run_id": run_id,
            "run_name": settings.get("run_name") or settings.get("name") or "Untitled",
            "run_type": "JOB_RUN" if job_id else "SUBMIT_RUN",
            "creator_user_name": self._owner,
            "number_in_job": run_id,
            "original_attempt_run_id": run_id,
            "format": "MULTI_TASK" if "tasks" in settings else "SINGLE_TASK",
            "start_time": now,
            "end_time": 0,
            "state": {"life_cycle_state": "PENDING", "state_message": ""},
            "tasks": [],
            "overriding_parameters": {
                name: given[name] for name in GIVEN if name in given
            },
            "settings": dict(settings),
            **({"job_id": job_id} if job_id else {}),
        }
        self._runs[str(run_id)] = run
        for task in tasks:
            self.add_attempt(run_id, task, 0)
        if token:
            self._tokens[_token_key(token, job_id)] = {"run_id": run_id}
        return self._runs[str(run_id)]

    def add_attempt(self, run_id: int, task: Mapping[str, Any], attempt: int) -> int:
        """Store a new attempt of a task. Returns the id of the attempt's run."""
        task_run_id = self._number()
        run = self._runs[str(run_id)]
        run["tasks"].append(
            {
                **{
                    name: value
                    for name, value in task.items()
                    if name != "libraries" or value
                },
                "run_id": task_run_id,
                "attempt_number": attempt,
                "start_time": milliseconds(time.time()),
                "end_time": 0,
                "state": {"life_cycle_state": "PENDING", "state_message": ""},
            }
        )
        self._runs[str(run_id)] = run
        self._parents[str(task_run_id)] = {"run_id": run_id}
        return task_run_id

    def run(self, run_id: int) -> Document:
        """Return all data of a run, or of a task's run."""
        if str(run_id) in self._parents:
            parent = self._runs[str(self._parents[str(run_id)]["run_id"])]
            task = next(task for task in parent["tasks"] if task["run_id"] == run_id)
            shared = {
                name: parent[name]
                for name in ("run_name", "run_type", "creator_user_name")
            }
            return {
                **shared,
                **task,
                "parent_run_id": parent["run_id"],
                "job_id": parent.get("job_id", 0),
            }
        if str(run_id) not in self._runs:
            raise errors.no_run(run_id)
        return self._runs[str(run_id)]

    def runs(
        self, job_id: int | None, *, active: bool, completed: bool
    ) -> list[Document]:
        """Return runs, newest first. The result can be limited to one job, to active
        runs, or to completed runs.
        """
        found = []
        for run in reversed(list(self._runs.values())):
            ended = run["state"]["life_cycle_state"] in ENDED
            if (job_id is None or run.get("job_id") == job_id) and not (
                (active and ended) or (completed and not ended)
            ):
                found.append(run)
        return found

    def delete_run(self, run_id: int) -> None:
        """Delete a run. Raises ApiError if the run has not ended."""
        run = self.run(run_id)
        if run["state"]["life_cycle_state"] not in ENDED:
            raise invalid_parameter(
                f"Run {run_id} is still running and cannot be deleted."
            )
        for task in run.get("tasks", ()):
            del self._parents[str(task["run_id"])]
        del self._runs[str(run_id)]

    def set_state(
        self,
        run_id: int,
        life_cycle: str,
        result: str = "",
        message: str = "",
        **more: Any,
    ) -> None:
        """Store the state of a run or a task's run. If the run has ended, its end time
        is stored, too.
        """
        state = {"life_cycle_state": life_cycle, "state_message": message}
        if result:
            state["result_state"] = result
        fields = {"state": state, **more}
        if life_cycle in ENDED:
            fields["end_time"] = milliseconds(time.time())
        if str(run_id) not in self._parents:
            self._runs.change(str(run_id), **fields)
            return
        run = self._runs[str(self._parents[str(run_id)]["run_id"])]
        run["tasks"] = [
            {**task, **fields} if task["run_id"] == run_id else task
            for task in run["tasks"]
        ]
        self._runs[str(run["run_id"])] = run

    def _number(self) -> int:
        return self._store.next_number("run")


def _token_key(token: str, job_id: int | None) -> str:
    """Return the key under which an idempotency token is stored. A token is valid
    either for one job, or for all one-time runs.
    """
    return f"{job_id or ''}/{token}"


def shown(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run in the API's format."""
    hidden = ("settings", "error", "error_trace")
    found = {name: value for name, value in run.items() if name not in hidden}
    if "tasks" in found:
        found["tasks"] = [shown(task) for task in found["tasks"]]
    if "settings" in run:
        for name in ("schedule", "job_clusters"):
            if name in run["settings"]:
                found[name] = run["settings"][name]
    return found
