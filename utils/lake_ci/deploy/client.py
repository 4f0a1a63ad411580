"""What a deploy asks of a workspace: a protocol of few methods, and the answers as
plain values.

`workspace.Databricks` does it with the real clients; the unit tests bring a double that
records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# The states of a library from which it goes nowhere by itself.
BROKEN = ("FAILED", "SKIPPED")
LEAVING = "UNINSTALL_ON_RESTART"
ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


@dataclass(frozen=True)
class Cluster:
    """A cluster as it is. `state` is Databricks' own word: PENDING, RUNNING,
    RESTARTING, TERMINATED, ...
    """

    id: str
    name: str
    state: str
    runtime: str
    message: str = ""


@dataclass(frozen=True)
class Library:
    """A wheel on a cluster. `path` is where it was installed from; `state` Databricks'
    own word.
    """

    path: str
    state: str
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskRun:
    """A task of a run; times in seconds since 1970, 0 while they are not known;
    `seconds` without what it waited for.
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
        # A run that ends as FAILED is TERMINATED, too: only the result tells.
        return self.state == "TERMINATED" and self.result == "SUCCESS"


@dataclass(frozen=True)
class JobRun:
    """A one-time run and its tasks, in the order the workspace tells them."""

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
    """What a task printed, and the error it ended with."""

    logs: str = ""
    error: str = ""


@dataclass(frozen=True)
class ScheduledJob:
    """A job that the workspace starts by itself."""

    id: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class Workspace(Protocol):
    """Every method raises WorkspaceError where the workspace refuses, or does not
    answer.
    """

    def user(self) -> str:
        """Who the credentials are of."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file of a volume; None where there is none."""
        ...

    def write(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        """Write a file of a volume whole. Returns False where it exists and may not be
        overwritten.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a file of a volume; one that is not there is no error."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """The names of what a folder of a volume holds; none for no folder."""
        ...

    def find_cluster(self, name: str) -> str | None:
        """The id of the cluster of that name."""
        ...

    def cluster(self, cluster_id: str) -> Cluster: ...

    def start(self, cluster_id: str) -> None: ...

    def restart(self, cluster_id: str) -> None: ...

    def wheels(self, cluster_id: str) -> Sequence[Library]: ...

    def install(self, cluster_id: str, wheel: str) -> None: ...

    def uninstall(self, cluster_id: str, wheel: str) -> None: ...

    def active_runs(self, cluster_id: str) -> Mapping[int, str]:
        """The runs that use the cluster now: id and name."""
        ...

    def submit(self, body: Mapping[str, Any]) -> int:
        """Start a one-time run; the same idempotency token again gives the same run."""
        ...

    def run(self, run_id: int) -> JobRun: ...

    def output(self, task_run_id: int) -> Output: ...

    def cancel(self, run_id: int) -> None: ...

    def job(self, name: str) -> ScheduledJob | None:
        """The job of that name. Raises WorkspaceError where there are several."""
        ...

    def create_job(self, settings: Mapping[str, Any]) -> int: ...

    def reset_job(self, job_id: int, settings: Mapping[str, Any]) -> None: ...

    def delete_job(self, job_id: int) -> None: ...
