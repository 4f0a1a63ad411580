"""Executes runs. Tasks run in the order of their dependencies, with retries and time
limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..runtime.background import Background
from ..store import Document
from ..tree import Tree
from . import errors
from .attempts import Attempts, TaskResult
from .state import ENDED, Jobs, shown
from .tasks import FAILED, SUCCESS, needs_of, satisfied

MAX_LOG = 5 * 1024 * 1024
"""The maximum size in bytes of the log in runs/get-output. If the log is longer than
this, only the end of the log is returned.
"""
# The fields that an attempt has in addition to the fields of its task.
OF_AN_ATTEMPT = (
    "run_id",
    "attempt_number",
    "start_time",
    "end_time",
    "state",
    "error",
    "error_trace",
)
UPSTREAM = {"ALL_SUCCESS": "UPSTREAM_FAILED"}


class Execution:
    """The active runs."""

    def __init__(
        self, jobs: Jobs, attempts: Attempts, tree: Tree, background: Background
    ) -> None:
        self._jobs = jobs
        self._attempts = attempts
        self._tree = tree
        self._background = background
        self._canceled: set[int] = set()

    def resume(self) -> None:
        """Mark runs as failed if they were active when the previous emulator process
        ended.
        """
        for run in self._jobs.runs(None, active=True, completed=False):
            message = "The emulator ended before the run was finished"
            for task in run["tasks"]:
                if task["state"]["life_cycle_state"] not in ENDED:
                    self._jobs.set_state(
                        task["run_id"], "INTERNAL_ERROR", FAILED, message
                    )
            self._jobs.set_state(run["run_id"], "INTERNAL_ERROR", FAILED, message)

    def start(self, run: Document) -> None:
        """Start a new run. If the job already has its maximum number of concurrent
        runs, the new run is skipped.
        """
        run_id, job_id = int(run["run_id"]), run.get("job_id")
        if job_id:
            others = self._jobs.runs(job_id, active=True, completed=False)
            limit = int(run["settings"].get("max_concurrent_runs", 1))
            if len(others) > limit:
                message = f"Skipped: the job already has {limit} concurrent run(s)"
                for task in run["tasks"]:
                    self._jobs.set_state(task["run_id"], "SKIPPED", "", message)
                self._jobs.set_state(run_id, "SKIPPED", "", message)
                return
        self._background.spawn(_name(run_id), self._run(run_id))

    def cancel(self, run_id: int) -> None:
        """Cancel a run. A run that has already ended does not change."""
        run = self._jobs.run(run_id)
        run_id = int(run.get("parent_run_id", run_id))
        if self._jobs.run(run_id)["state"]["life_cycle_state"] in ENDED:
            return
        self._canceled.add(run_id)
        self._jobs.set_state(run_id, "TERMINATING", "", "Canceled by the user")
        self._background.cancel(_name(run_id))

    def output(self, run_id: int) -> dict[str, Any]:
        """Return the log, the error and the metadata of a run. Raises ApiError if the
        run has several tasks.
        """
        run = self._jobs.run(run_id)
        if "tasks" in run:
            if len({task["task_key"] for task in run["tasks"]}) > 1:
                raise errors.many_tasks()
            return {**self.output(run["tasks"][-1]["run_id"]), "metadata": shown(run)}
        log = self._attempts.log(run_id)
        text = self._tree.show(log[-MAX_LOG:].decode(errors="replace"))
        found = {
            "metadata": shown(run),
            "logs": text,
            "logs_truncated": len(log) > MAX_LOG,
        }
        for name in ("error", "error_trace"):
            if run.get(name):
                found[name] = self._tree.show(run[name])
        return found

    # Runs

    async def _run(self, run_id: int) -> None:
        settings = self._jobs.run(run_id)["settings"]
        self._jobs.set_state(run_id, "RUNNING", "", "In run")
        limit = settings.get("timeout_seconds") or None
        try:
            results = await asyncio.wait_for(self._tasks(run_id, settings), limit)
        except asyncio.TimeoutError:
            self._cut(run_id, "TIMEDOUT", f"The run took longer than {limit} s")
        except asyncio.CancelledError:
            # If no client canceled the run, the emulator is ending. `resume` then marks
            # the run as failed at the next start.
            if run_id in self._canceled:
                self._canceled.discard(run_id)
                self._cut(run_id, "CANCELED", "Run cancelled.")
            raise
        else:
            self._finish(run_id, results)
        self._background.changed()

    def _finish(self, run_id: int, results: Mapping[str, TaskResult]) -> None:
        tasks = self._jobs.run(run_id)["tasks"]
        needed = {need for task in tasks for need in needs_of(task)}
        failed = {
            key: outcome
            for key, outcome in results.items()
            if outcome.result not in (SUCCESS, "EXCLUDED")
        }
        bad = [outcome for key, outcome in failed.items() if key not in needed]
        if not bad:
            self._jobs.set_state(run_id, "TERMINATED", SUCCESS)
            return
        worst = min(bad, key=lambda outcome: outcome.life_cycle != "INTERNAL_ERROR")
        result, message = FAILED, f"Task(s) {', '.join(failed)} failed."
        if len(results) == 1:
            result, message = worst.result, worst.message
        self._jobs.set_state(run_id, worst.life_cycle, result, message)

    def _cut(self, run_id: int, result: str, message: str) -> None:
        for task in self._jobs.run(run_id)["tasks"]:
            if task["state"]["life_cycle_state"] not in ENDED:
                self._jobs.set_state(task["run_id"], "TERMINATED", result, message)
        self._jobs.set_state(run_id, "TERMINATED", result, message)
        self._background.changed()

    async def _tasks(
        self, run_id: int, settings: Mapping[str, Any]
    ) -> dict[str, TaskResult]:
        """Run each task after its dependencies have ended. Returns the results by task
        key.
        """
        waiting = {task["task_key"]: task for task in self._jobs.run(run_id)["tasks"]}
        results: dict[str, TaskResult] = {}
        running: dict[asyncio.Task[TaskResult], str] = {}
        try:
            while waiting or running:
                for key, task in list(waiting.items()):
                    if not results.keys() >= set(needs_of(task)):
                        continue
                    del waiting[key]
                    if _may_run(task, results):
                        running[
                            asyncio.ensure_future(self._task(run_id, task, settings))
                        ] = key
                    else:
                        results[key] = self._leave_out(task)
                if running:
                    done, _ = await asyncio.wait(
                        running, return_when=asyncio.FIRST_COMPLETED
                    )
                    for each in done:
                        results[running.pop(each)] = each.result()
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return results

    # Tasks

    def _leave_out(self, task: Mapping[str, Any]) -> TaskResult:
        """Skip a task because of the results of its dependencies."""
        run_if = _run_if(task)
        result = UPSTREAM.get(run_if, "EXCLUDED")
        outcome = TaskResult("TERMINATED", result, f"run_if {run_if} is not satisfied")
        self._jobs.set_state(
            task["run_id"], outcome.life_cycle, outcome.result, outcome.message
        )
        return outcome

    async def _task(
        self, run_id: int, task: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> TaskResult:
        """Run attempts of a task until an attempt succeeds or no retries are left. If
        `max_retries` is -1, the number of retries is unlimited.
        """
        retries, attempt, task_run_id = (
            int(task.get("max_retries", 0)),
            0,
            int(task["run_id"]),
        )
        declared = {
            name: value for name, value in task.items() if name not in OF_AN_ATTEMPT
        }
        while True:
            outcome = await self._attempts.run(run_id, task_run_id, declared, settings)
            more = {"error": outcome.error, "error_trace": outcome.trace}
            self._jobs.set_state(
                task_run_id, outcome.life_cycle, outcome.result, outcome.message, **more
            )
            self._background.changed()
            again = outcome.result != SUCCESS and (retries < 0 or attempt < retries)
            if not again or (
                outcome.result == "TIMEDOUT" and not task.get("retry_on_timeout")
            ):
                return outcome
            attempt += 1
            await asyncio.sleep(int(task.get("min_retry_interval_millis", 0)) / 1000)
            task_run_id = self._jobs.add_attempt(run_id, declared, attempt)


def _run_if(task: Mapping[str, Any]) -> str:
    return str(task.get("run_if", "ALL_SUCCESS"))


def _may_run(task: Mapping[str, Any], results: Mapping[str, TaskResult]) -> bool:
    """Return whether the results of a task's dependencies allow the task to run."""
    needed = [results[need].result for need in needs_of(task)]
    return satisfied(_run_if(task), needed)


def _name(run_id: int) -> str:
    return f"run {run_id}"
