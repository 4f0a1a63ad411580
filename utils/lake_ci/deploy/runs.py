"""Runs tasks on the cluster as one-time runs.

Each run is submitted once, and canceled if it takes too long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lake_ci.deploy.client import JobRun, TaskRun, Workspace
from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.ledger import DeployRun
from lake_ci.deploy.retries import Clock, poll_until
from lake_ci.model.settings import Limits

# The number of output lines in the error message for a failed task.
TAIL_LINES = 15
MARK = "lake_ci"


@dataclass(frozen=True)
class Ended:
    """A run that has ended: its time window, and the log of each task."""

    run: JobRun
    logs: Mapping[str, str]
    window: DeployRun

    def result(self, key: str) -> dict[str, Any]:
        """Return the result that a script of the release printed to the task's log.

        The result is the last line of JSON that has the key `lake_ci`. Raises StepError
        if no line has this key.
        """
        for line in reversed(self.logs.get(key, "").splitlines()):
            with suppress(ValueError):
                body = json.loads(line)
                if isinstance(body, dict) and MARK in body:
                    return dict(body[MARK])
        raise StepError(
            f"the task {key} (run {self.run.id}) succeeded, but printed no result"
        )


class Runs:
    """Runs tasks on a cluster for one deploy."""

    def __init__(self, workspace: Workspace, limits: Limits, clock: Clock) -> None:
        self._workspace = workspace
        self._limits = limits
        self._clock = clock

    def once(
        self,
        name: str,
        token: str,
        tasks: Sequence[Mapping[str, Any]],
        *,
        started: Callable[[int], None] = lambda run_id: None,
        ended: Callable[[TaskRun], None] = lambda task: None,
    ) -> Ended:
        """Submit tasks as one run, wait until it ends, and return the tasks' logs.

        Args:
            name: the name of the run in the workspace.
            token: the idempotency token. If a token was used before, no new run starts:
                the earlier run is used.
            tasks: the tasks in the format of the API.
            started: called with the run's id after the submission.
            ended: called with each task that has succeeded.

        Raises:
            StepError: a task failed, and the message contains the end of its output; or
                the run did not end in time and was canceled.
        """
        body = {"run_name": name, "idempotency_token": token, "tasks": list(tasks)}
        run_id = self._workspace.submit(body)
        try:
            started(run_id)
            run = self._wait(run_id, name, ended)
        except KeyboardInterrupt:
            with suppress(WorkspaceError):
                self._workspace.cancel(run_id)
            raise
        logs = self._logs(run)
        bad = [task for task in run.tasks if not task.good]
        if bad or run.result != "SUCCESS":
            first = (
                bad[0]
                if bad
                else TaskRun(name, run_id, run.state, run.result, run.message)
            )
            raise StepError(_failed(first, run, ""))
        return Ended(run, logs, window(run))

    def _logs(self, run: JobRun) -> dict[str, str]:
        """Return the log of each task.

        Raises StepError if a task failed; the message contains the end of its output.
        """
        logs = {}
        for task in run.tasks:
            if task.started or task.good:
                output = self._workspace.output(task.run_id)
                logs[task.key] = output.logs
                if not task.good:
                    raise StepError(
                        _failed(task, run, f"{output.logs}\n{output.error}")
                    )
        return logs

    def _wait(self, run_id: int, name: str, ended: Callable[[TaskRun], None]) -> JobRun:
        reported: set[str] = set()

        def look() -> JobRun | None:
            run = self._workspace.run(run_id)
            for task in run.tasks:
                if task.over and task.good and task.key not in reported:
                    reported.add(task.key)
                    ended(task)
            return run if run.over else None

        try:
            late = f"{name} (run {run_id}) did not end, and was cancelled"
            return poll_until(look, self._limits.run, late, self._limits, self._clock)
        except StepError:
            self._workspace.cancel(run_id)
            poll_until(
                lambda: True if self._workspace.run(run_id).over else None,
                self._limits.run,
                f"{name} (run {run_id}) was cancelled and did not end",
                self._limits,
                self._clock,
            )
            raise


def window(run: JobRun) -> DeployRun:
    """Return the time window of a run.

    The window begins when the first task starts, and ends when the last task ends. The
    end is 0 while a task is active.
    """
    started = [task.started for task in run.tasks if task.started]
    ended = [task.ended for task in run.tasks if task.ended]
    over = run.over and len(ended) == len(started)
    end = int(1000 * max(ended, default=0)) if over else 0
    return DeployRun(
        run.id,
        int(1000 * min(started, default=0)),
        end,
        tuple(task.run_id for task in run.tasks),
    )


def _failed(task: TaskRun, run: JobRun, output: str) -> str:
    state = " ".join(word for word in (task.state, task.result) if word)
    head = f"the task {task.key} (run {run.id}) ended as {state}"
    message = task.message or run.message
    lines = [line for line in output.strip().splitlines() if line.strip()][-TAIL_LINES:]
    return "\n".join([f"{head}: {message}" if message else head, *lines])
