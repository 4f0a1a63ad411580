"""Defines the requests that a deploy sends to a workspace, as a protocol.

The methods return plain values. `workspace.Databricks` implements the protocol with the
real clients; the unit tests use a fake that records the calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# The states of a library whose install failed. Only a new install request changes these
# states.
BROKEN = ("FAILED", "SKIPPED")
LEAVING = "UNINSTALL_ON_RESTART"
ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    `state` is one of Databricks' states: PENDING, RUNNING, RESTARTING, TERMINATED, ...
    """

    id: str
    name: str
    state: str
    runtime: str
    message: str = ""


@dataclass(frozen=True)
class Library:
    """A wheel on a cluster.

    `path` is the wheel's file; `state` is one of Databricks' states.
    """

    path: str
    state: str
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskRun:
    """A task of a run.

    `started` and `ended` are in seconds since 1970, or 0 if unknown. `seconds` is the
    execution time; it excludes the time that the task waited.
    """

    key: str
    run_id: int
    state: str
    result: str = ""
    message: str = ""
    started: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        return self.state in ENDED

    @property
    def good(self) -> bool:
        # Failed and successful tasks are both TERMINATED; only their results differ.
        return self.state == "TERMINATED" and self.result == "SUCCESS"


@dataclass(frozen=True)
class JobRun:
    """A one-time run and its tasks, in the order of the workspace's list of tasks."""

    id: int
    state: str
    result: str = ""
    message: str = ""
    tasks: tuple[TaskRun, ...] = ()

    @property
    def over(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Output:
    """The output of a task, and its error if the task failed."""

    logs: str = ""
    error: str = ""


@dataclass(frozen=True)
class ScheduledJob:
    """A job that the workspace starts on a schedule."""

    id: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class Workspace(Protocol):
    """The requests that a deploy sends to a workspace.

    Each method raises WorkspaceError if the workspace rejects the request or does not
    answer.
    """

    def user(self) -> str:
        """Return the name of the logged-in user or service principal."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return the content of a file on a volume; None if the file does not exist."""
        ...

    def write(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        """Write a file with this content to a volume.

        Returns False, without writing, if the file exists and `overwrite` is false.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a file on a volume; a missing file is not an error."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """Return the names of the files in a folder; empty if the folder is missing."""
        ...

    def find_cluster(self, name: str) -> str | None:
        """Return the id of the cluster with this name, or None if it does not exist."""
        ...

    def cluster(self, cluster_id: str) -> Cluster: ...

    def start(self, cluster_id: str) -> None: ...

    def restart(self, cluster_id: str) -> None: ...

    def wheels(self, cluster_id: str) -> Sequence[Library]: ...

    def install(self, cluster_id: str, wheel: str) -> None: ...

    def uninstall(self, cluster_id: str, wheel: str) -> None: ...

    def active_runs(self, cluster_id: str) -> Mapping[int, str]:
        """Return the runs that use the cluster now: each run's id and name."""
        ...

    def submit(self, body: Mapping[str, Any]) -> int:
        """Start a one-time run, and return its id.

        If the idempotency token was already used, no run starts, and the id of the
        earlier run is returned.
        """
        ...

    def run(self, run_id: int) -> JobRun: ...

    def output(self, task_run_id: int) -> Output: ...

    def cancel(self, run_id: int) -> None: ...

    def job(self, name: str) -> ScheduledJob | None:
        """Return the job with this name, or None if no job has this name.

        Raises WorkspaceError if several jobs have this name.
        """
        ...

    def create_job(self, settings: Mapping[str, Any]) -> int: ...

    def reset_job(self, job_id: int, settings: Mapping[str, Any]) -> None: ...

    def delete_job(self, job_id: int) -> None: ...
