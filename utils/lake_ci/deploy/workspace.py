"""Sends a deploy's requests with databricks-cli and databricks-sdk.

The SDK is used for volumes and for polling, the CLI for most other requests.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import requests
from databricks.sdk import WorkspaceClient, errors as sdk_errors
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service import compute, jobs

from lake_ci.deploy.cli import JOBS, DatabricksCli
from lake_ci.deploy.client import (
    Cluster,
    JobRun,
    Library,
    Output,
    ScheduledJob,
    TaskRun,
)
from lake_ci.deploy.errors import WorkspaceError
from lake_ci.deploy.retries import Clock, retry
from lake_ci.model.settings import Limits

Answer = TypeVar("Answer")
PASSING = (
    sdk_errors.InternalError,
    sdk_errors.TooManyRequests,
    sdk_errors.TemporarilyUnavailable,
    sdk_errors.DeadlineExceeded,
    sdk_errors.Aborted,
)


class Databricks:
    """Implements `client.Workspace` for real workspaces and for the emulator.

    Real workspaces and the emulator get the same requests.
    """

    def __init__(
        self, sdk: WorkspaceClient, cli: DatabricksCli, limits: Limits, clock: Clock
    ) -> None:
        self._sdk = sdk
        self._cli = cli
        self._limits = limits
        self._clock = clock

    def user(self) -> str:
        return str(self.ask(lambda: self._sdk.current_user.me().user_name))

    # Volumes, which the CLI does not support

    def read(self, path: str) -> bytes | None:
        def ask() -> bytes:
            answer = self._sdk.files.download(path)
            if answer.contents is None:
                raise WorkspaceError(
                    f"{path}: the answer has no content", retryable=True
                )
            content = answer.contents.read()
            if answer.content_length is not None and len(content) != int(
                answer.content_length
            ):
                raise WorkspaceError(
                    f"{path}: only {len(content)} of"
                    f" {answer.content_length} bytes came",
                    retryable=True,
                )
            return content

        try:
            return self.ask(ask)
        except WorkspaceError as error:
            if _missing(error):
                return None
            raise

    def write(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        try:
            self.ask(
                lambda: self._sdk.files.upload(
                    path, io.BytesIO(content), overwrite=overwrite
                )
            )
            return True
        except WorkspaceError as error:
            if not overwrite and error.code in (
                "ALREADY_EXISTS",
                "RESOURCE_ALREADY_EXISTS",
                "RESOURCE_CONFLICT",
            ):
                return False
            raise

    def delete(self, path: str) -> None:
        try:
            self.ask(lambda: self._sdk.files.delete(path))
        except WorkspaceError as error:
            if not _missing(error):
                raise

    def names(self, folder: str) -> Sequence[str]:
        try:
            entries = self.ask(
                lambda: list(self._sdk.files.list_directory_contents(folder))
            )
        except WorkspaceError as error:
            if _missing(error):
                return ()
            raise
        return sorted(str(entry.name) for entry in entries)

    # Clusters and their libraries

    def find_cluster(self, name: str) -> str | None:
        def ids(listing: Any) -> list[str]:
            rows = listing.get("clusters", ())
            return [row["cluster_id"] for row in rows if row["cluster_name"] == name]

        found = self._command(ids, "clusters", "list", "--output", "JSON")
        if len(found) > 1:
            raise WorkspaceError(
                f"there are {len(found)} clusters of the name {name!r}:"
                f" {', '.join(found)}"
            )
        return found[0] if found else None

    def cluster(self, cluster_id: str) -> Cluster:
        def ask() -> Cluster:
            seen = self._sdk.clusters.get(cluster_id)
            if seen.state is None:
                raise WorkspaceError(f"{cluster_id} has no state", retryable=True)
            name, runtime = seen.cluster_name or "", seen.spark_version or ""
            message = seen.state_message or ""
            return Cluster(cluster_id, name, seen.state.value, runtime, message)

        return self.ask(ask)

    def start(self, cluster_id: str) -> None:
        self._transition("start", cluster_id)

    def restart(self, cluster_id: str) -> None:
        self._transition("restart", cluster_id)

    def _transition(self, what: str, cluster_id: str) -> None:
        def ask() -> None:
            self._cli.text("clusters", what, "--cluster-id", cluster_id)

        try:
            retry(ask, self._limits, self._clock)
        except WorkspaceError as error:
            # An error about the cluster's state means that an earlier attempt succeeded
            # but the answer was lost. The callers poll until the cluster runs.
            if error.code not in (
                "INVALID_STATE",
                "INVALID_PARAMETER_VALUE",
            ) or "state" not in str(error):
                raise

    def wheels(self, cluster_id: str) -> Sequence[Library]:
        rows: list[compute.LibraryFullStatus] = self.ask(
            lambda: list(self._sdk.libraries.cluster_status(cluster_id))
        )
        return [
            Library(
                row.library.whl,
                row.status.value if row.status else "",
                tuple(row.messages or ()),
            )
            for row in rows
            if row.library is not None and row.library.whl is not None
        ]

    def install(self, cluster_id: str, wheel: str) -> None:
        self._say("libraries", "install", "--cluster-id", cluster_id, "--whl", wheel)

    def uninstall(self, cluster_id: str, wheel: str) -> None:
        self._say("libraries", "uninstall", "--cluster-id", cluster_id, "--whl", wheel)

    # Runs and jobs

    def active_runs(self, cluster_id: str) -> Mapping[int, str]:
        runs = self.ask(
            lambda: list(self._sdk.jobs.list_runs(active_only=True, expand_tasks=True))
        )
        return {
            int(run.run_id or 0): run.run_name or ""
            for run in runs
            if cluster_id in set(_clusters_of(run))
        }

    def submit(self, body: Mapping[str, Any]) -> int:
        arguments = ("runs", "submit", "--json", json.dumps(body), *JOBS)
        return self._command(lambda answer: int(answer["run_id"]), *arguments)

    def run(self, run_id: int) -> JobRun:
        seen = self.ask(lambda: self._sdk.jobs.get_run(run_id))
        tasks = tuple(
            TaskRun(
                task.task_key or "",
                int(task.run_id or 0),
                *_state(task.state),
                (task.start_time or 0) / 1000,
                (task.end_time or 0) / 1000,
                (task.execution_duration or 0) / 1000,
            )
            for task in seen.tasks or ()
        )
        return JobRun(run_id, *_state(seen.state), tasks)

    def output(self, task_run_id: int) -> Output:
        def read(answer: Any) -> Output:
            error = answer.get("error") or answer.get("error_trace") or ""
            return Output(str(answer.get("logs") or ""), str(error))

        arguments = ("runs", "get-output", "--run-id", str(task_run_id), *JOBS)
        return self._command(read, *arguments)

    def cancel(self, run_id: int) -> None:
        # After a signal, this process may be killed in less than a second. The SDK is
        # faster than the CLI.
        self.ask(lambda: self._sdk.jobs.cancel_run(run_id))

    def job(self, name: str) -> ScheduledJob | None:
        number = retry(lambda: self._job_id(name), self._limits, self._clock)
        if number is None:
            return None

        def read(answer: Any) -> ScheduledJob:
            return ScheduledJob(number, dict(answer["settings"]))

        return self._command(read, "jobs", "get", "--job-id", str(number), *JOBS)

    def create_job(self, settings: Mapping[str, Any]) -> int:
        sent = False

        def create() -> int:
            nonlocal sent
            # An earlier attempt may have created the job although its answer was lost.
            found = self._job_id(settings["name"]) if sent else None
            sent = True
            if found is not None:
                return found
            arguments = ("jobs", "create", "--json", json.dumps(settings), *JOBS)
            return self._once(lambda answer: int(answer["job_id"]), *arguments)

        return retry(create, self._limits, self._clock)

    def reset_job(self, job_id: int, settings: Mapping[str, Any]) -> None:
        self._say(
            "jobs",
            "reset",
            "--job-id",
            str(job_id),
            "--json",
            json.dumps(settings),
            *JOBS,
        )

    def delete_job(self, job_id: int) -> None:
        try:
            self._say("jobs", "delete", "--job-id", str(job_id), *JOBS)
        except WorkspaceError as error:
            if "does not exist" not in str(error):
                raise

    def ask(self, ask: Callable[[], Answer]) -> Answer:
        """Send a request with the SDK, and retry it after temporary errors.

        Converts each error of the SDK to a WorkspaceError.
        """

        def translated() -> Answer:
            try:
                return ask()
            except DatabricksError as error:
                passing = isinstance(error, PASSING)
                raise WorkspaceError(
                    str(error).strip(), code=_code(error), retryable=passing
                ) from None
            except (
                requests.RequestException,
                OSError,
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
            ) as error:
                # The answer was late (TimeoutError is an OSError), truncated, or in an
                # unexpected format. When the SDK stops its retries, it raises a
                # TimeoutError whose message lacks the cause.
                cause = f": {error.__cause__}" if error.__cause__ else ""
                message = f"{type(error).__name__}: {error}{cause}"
                raise WorkspaceError(message, retryable=True) from None

        return retry(translated, self._limits, self._clock)

    def _job_id(self, name: str) -> int | None:
        """Return the id of the job with this name, or None if it does not exist.

        Raises WorkspaceError if several jobs have this name.
        """

        def ids(listing: Any) -> list[int]:
            rows = listing.get("jobs", ())
            same = [row for row in rows if row["settings"].get("name") == name]
            return [int(row["job_id"]) for row in same]

        found = self._once(ids, "jobs", "list", "--all", "--output", "JSON", *JOBS)
        if len(found) > 1:
            several = ", ".join(map(str, found))
            raise WorkspaceError(
                f"there are {len(found)} jobs of the name {name!r}: {several}",
                "delete all but one",
            )
        return found[0] if found else None

    def _command(self, read: Callable[[Any], Answer], *arguments: str) -> Answer:
        return retry(lambda: self._once(read, *arguments), self._limits, self._clock)

    def _once(self, read: Callable[[Any], Answer], *arguments: str) -> Answer:
        """Run a command once, and return what `read` extracts from its JSON.

        Raises WorkspaceError if the JSON has an unexpected format.
        """
        answer = self._cli.json(*arguments)
        try:
            return read(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            command = " ".join(arguments[:2])
            raise WorkspaceError(
                f"databricks {command} has an unexpected answer: {error!r}",
                retryable=True,
            ) from None

    def _say(self, *arguments: str) -> None:
        retry(lambda: self._cli.text(*arguments), self._limits, self._clock)


def _code(error: DatabricksError) -> str:
    if isinstance(error, sdk_errors.AlreadyExists):
        return "ALREADY_EXISTS"
    if isinstance(error, sdk_errors.NotFound):
        return "NOT_FOUND"
    return str(error.error_code or "")


def _missing(error: WorkspaceError) -> bool:
    return error.code in ("NOT_FOUND", "RESOURCE_DOES_NOT_EXIST")


def _state(state: jobs.RunState | None) -> tuple[str, str, str]:
    if state is None or state.life_cycle_state is None:
        return "PENDING", "", ""
    result = state.result_state.value if state.result_state else ""
    return state.life_cycle_state.value, result, state.state_message or ""


def _clusters_of(run: jobs.BaseRun) -> Sequence[str]:
    """Return the clusters that a run uses or will use.

    The API has several fields for the clusters of a run.
    """
    found = [run.cluster_instance.cluster_id] if run.cluster_instance else []
    found += [run.cluster_spec.existing_cluster_id] if run.cluster_spec else []
    for task in run.tasks or ():
        found += [task.existing_cluster_id]
        found += [task.cluster_instance.cluster_id] if task.cluster_instance else []
    return [each for each in found if each]
