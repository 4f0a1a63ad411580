"""Runs attempts of tasks. Each attempt is a process in the environment of the task's
cluster.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clusters.state import Clusters
from ..errors import ApiError
from ..libraries.state import Libraries
from ..runtime.process import ProcessResult, TaskProcess
from ..runtime.spark import Spark, SparkUnavailableError
from ..secrets.state import REFERENCE, Secrets
from ..tree import Tree
from .state import Jobs
from .tasks import FAILED, SUCCESS, kind_of, new_cluster, parameters_of


@dataclass(frozen=True)
class TaskResult:
    """The result of an attempt, in the fields that the API uses for a run's state."""

    life_cycle: str
    result: str
    message: str = ""
    error: str = ""
    trace: str = ""


@dataclass
class Attempt:
    """A running process. `reason` is not empty if the emulator killed the process."""

    cluster_id: str
    process: TaskProcess
    reason: str = ""


class Attempts:
    """The running attempts. `folder` contains the logs of all attempts, including ended
    attempts.
    """

    def __init__(
        self,
        jobs: Jobs,
        clusters: Clusters,
        libraries: Libraries,
        secrets: Secrets,
        tree: Tree,
        spark: Spark,
        folder: Path,
    ) -> None:
        self._jobs = jobs
        self._clusters = clusters
        self._libraries = libraries
        self._secrets = secrets
        self._tree = tree
        self._spark = spark
        self._folder = folder
        self._attempts: dict[int, Attempt] = {}
        clusters.on_stop.append(self._cluster_stopped)

    def log(self, task_run_id: int) -> bytes:
        """Return everything that an attempt has printed so far."""
        file = self._folder / str(task_run_id) / "log.txt"
        return file.read_bytes() if file.exists() else b""

    async def run(
        self,
        run_id: int,
        task_run_id: int,
        task: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> TaskResult:
        wanted = new_cluster(task, settings)
        made = (
            ""
            if wanted is None
            else str(self._clusters.create(wanted, "JOB")["cluster_id"])
        )
        limit = task.get("timeout_seconds") or None
        try:
            cluster_id = made or str(task["existing_cluster_id"])
            work = self._on_cluster(cluster_id, run_id, task_run_id, task)
            return await asyncio.wait_for(work, limit)
        except asyncio.TimeoutError:
            return TaskResult(
                "TERMINATED", "TIMEDOUT", f"The task took longer than {limit} s"
            )
        except ApiError as error:
            return TaskResult("INTERNAL_ERROR", FAILED, error.message)
        finally:
            if made:
                self._clusters.permanent_delete(made)

    async def _on_cluster(
        self, cluster_id: str, run_id: int, task_run_id: int, task: Mapping[str, Any]
    ) -> TaskResult:
        if self._clusters.get(cluster_id)["state"] == "TERMINATED":
            self._clusters.start(cluster_id)
        await self._clusters.wait_until_stable(cluster_id)
        if not self._clusters.runs(cluster_id):
            why = self._clusters.get(cluster_id)["state_message"]
            return TaskResult(
                "INTERNAL_ERROR", FAILED, f"Cluster {cluster_id} did not start: {why}"
            )
        if task.get("libraries"):
            self._libraries.install(cluster_id, task["libraries"])
        await self._libraries.wait_until_installed(cluster_id)
        for each in self._libraries.statuses(cluster_id):
            if each["status"] == "FAILED" and each["library"] in task.get(
                "libraries", ()
            ):
                why = "\n".join(each["messages"])
                return TaskResult(
                    "INTERNAL_ERROR", FAILED, f"Library installation failed: {why}"
                )
        if not self._clusters.runs(cluster_id):
            return TaskResult(
                "INTERNAL_ERROR", FAILED, f"Cluster {cluster_id} was terminated"
            )
        folder = self._folder / str(task_run_id)
        process = TaskProcess(
            folder, self._clusters.environment(cluster_id), self._asker(cluster_id)
        )
        attempt = self._attempts[task_run_id] = Attempt(cluster_id, process)
        instance = {
            "cluster_instance": {
                "cluster_id": cluster_id,
                "spark_context_id": str(task_run_id),
            }
        }
        self._jobs.set_state(task_run_id, "RUNNING", "", "In run", **instance)
        try:
            ended = await process.run(
                self._program(run_id, task), self._variables(cluster_id)
            )
        finally:
            del self._attempts[task_run_id]
        return task_result(ended, attempt.reason)

    def _program(self, run_id: int, task: Mapping[str, Any]) -> dict[str, Any]:
        """Return the script or the entry point to call, and its parameters. Workspace
        paths are replaced by real paths.
        """
        run = self._jobs.run(run_id)
        given = run["overriding_parameters"]
        values = {
            "job.id": str(run.get("job_id", 0)),
            "job.run_id": str(run_id),
            "job.name": run["run_name"],
        }
        values["task.name"] = task["task_key"]
        declared = {
            each["name"]: each["default"]
            for each in run["settings"].get("parameters", ())
        }
        for name, value in {**declared, **given.get("job_parameters", {})}.items():
            values[f"job.parameters.{name}"] = str(value)
        parameters = [
            self._tree.translate(each) for each in parameters_of(task, given, values)
        ]
        if kind_of(task) == "python_wheel_task":
            wheel = task["python_wheel_task"]
            return {
                "package": wheel["package_name"],
                "entry_point": wheel["entry_point"],
                "parameters": parameters,
            }
        named = str(task["spark_python_task"]["python_file"])
        file = self._tree.real(
            named
            if ":" in named.split("/")[0] or named.startswith("/Volumes/")
            else _in_workspace(named)
        )
        return {"file": str(file), "parameters": parameters}

    def _variables(self, cluster_id: str) -> dict[str, str]:
        """Return the cluster's environment variables. References to secrets are
        replaced by the values of the secrets.
        """
        wanted = self._clusters.get(cluster_id).get("spark_env_vars", {})
        return {
            name: self._tree.translate(
                REFERENCE.sub(
                    lambda match: base64.b64decode(
                        self._secrets.get(match[1], match[2])
                    ).decode(),
                    value,
                )
            )
            for name, value in wanted.items()
        }

    def _asker(self, cluster_id: str) -> Callable[[], Awaitable[dict[str, Any]]]:
        async def ask() -> dict[str, Any]:
            try:
                gateway = await self._spark.gateway()
            except SparkUnavailableError as error:
                return {"error": str(error)}
            return {
                **gateway,
                "conf": self._clusters.get(cluster_id).get("spark_conf", {}),
            }

        return ask

    def _cluster_stopped(self, cluster_id: str, reason: str) -> None:
        for attempt in self._attempts.values():
            if attempt.cluster_id == cluster_id:
                attempt.reason = reason
                attempt.process.kill()


def task_result(ended: ProcessResult, reason: str) -> TaskResult:
    """Return the result of a process. If `reason` is not empty, the emulator killed the
    process, and the result contains the reason instead of the exit code.
    """
    if reason:
        return TaskResult("INTERNAL_ERROR", FAILED, reason)
    if ended.code == 0:
        return TaskResult("TERMINATED", SUCCESS)
    message = "Workload failed, see run output for details"
    return TaskResult("TERMINATED", FAILED, message, ended.error, ended.trace)


def _in_workspace(path: str) -> str:
    """Return the full path of a workspace file. In `path`, the prefix `/Workspace` is
    optional.
    """
    return (
        path
        if path.startswith(("/Workspace/", "/dbfs/"))
        else f"/Workspace/{path.lstrip('/')}"
    )
