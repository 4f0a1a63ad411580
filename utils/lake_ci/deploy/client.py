"""The protocol of the requests that a deploy sends to a workspace.

The methods return plain values. `workspace.Databricks` implements the protocol with the
real clients; the unit tests use a fake that records the calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# The final states of a library: only a new request changes them.
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

    Times are in seconds since 1970, and 0 if unknown. `seconds` is the execution time
    without waiting.
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
        # Both failed and successful runs are TERMINATED; the result tells them apart.
        return self.state == "TERMINATED" and self.result == "SUCCESS"


@dataclass(frozen=True)
class JobRun:
    """A one-time run and its tasks, in the order of the workspace's answer."""

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
    """The requests of a deploy.

    Each method raises WorkspaceError if the workspace rejects the request or does not
    answer.
    """

    def user(self) -> str:
        """Return the name of the user or service principal of the credentials."""
        ...

    def read(self, path: str) -> bytes | None:
        """Read a file of a volume; None if it does not exist."""
        ...

    def write(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        """Write a complete file of a volume.

        Returns False if the file exists and `overwrite` is false.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a file of a volume; a missing file is not an error."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """List the names in a folder of a volume; empty if the folder is missing."""
        ...

    def find_cluster(self, name: str) -> str | None:
        """Return the id of the cluster of that name."""
        ...

    def cluster(self, cluster_id: str) -> Cluster: ...

    def start(self, cluster_id: str) -> None: ...

    def restart(self, cluster_id: str) -> None: ...

    def wheels(self, cluster_id: str) -> Sequence[Library]: ...

    def install(self, cluster_id: str, wheel: str) -> None: ...

    def uninstall(self, cluster_id: str, wheel: str) -> None: ...

    def active_runs(self, cluster_id: str) -> Mapping[int, str]:
        """Return the id and the name of each run that uses the cluster now."""
        ...

    def submit(self, body: Mapping[str, Any]) -> int:
        """Start a one-time run; the same idempotency token returns the same run."""
        ...

    def run(self, run_id: int) -> JobRun: ...

    def output(self, task_run_id: int) -> Output: ...

    def cancel(self, run_id: int) -> None: ...

    def job(self, name: str) -> ScheduledJob | None:
        """Return the job of that name. Raises WorkspaceError if there are several."""
        ...

    def create_job(self, settings: Mapping[str, Any]) -> int: ...

    def reset_job(self, job_id: int, settings: Mapping[str, Any]) -> None: ...

    def delete_job(self, job_id: int) -> None: ...
