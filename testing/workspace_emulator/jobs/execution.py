"""Makes runs happen: their tasks in order, each as a process on its cluster, with retries and time limits."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workspace_emulator.clusters.state import Clusters
from workspace_emulator.errors import ApiError
from workspace_emulator.jobs import errors
from workspace_emulator.jobs.state import ENDED, Jobs
from workspace_emulator.jobs.tasks import FAILED, SUCCESS, kind_of, new_cluster, parameters_of, satisfied
from workspace_emulator.libraries.state import Libraries
from workspace_emulator.runtime.background import Background
from workspace_emulator.runtime.process import Ended, TaskProcess
from workspace_emulator.runtime.spark import Spark, SparkUnavailable
from workspace_emulator.secrets.state import REFERENCE, Secrets
from workspace_emulator.store import Document
from workspace_emulator.tree import Tree

MAX_LOG = 5 * 1024 * 1024
"""The bytes of a log, its last, that runs/get-output tells."""
UPSTREAM = {"ALL_SUCCESS": "UPSTREAM_FAILED"}


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended, as a run's state says it."""

    life_cycle: str
    result: str
    message: str = ""
    error: str = ""
    trace: str = ""


@dataclass
class Attempt:
    """A process under way, and why it was ended where it was not by itself."""

    cluster_id: str
    process: TaskProcess
    reason: str = ""


class Execution:
    """The runs under way. `folder` keeps each attempt's log."""

    def __init__(
        self,
        jobs: Jobs,
        clusters: Clusters,
        libraries: Libraries,
        secrets: Secrets,
        tree: Tree,
        spark: Spark,
        background: Background,
        folder: Path,
    ) -> None:
        self._jobs = jobs
        self._clusters = clusters
        self._libraries = libraries
        self._secrets = secrets
        self._tree = tree
        self._spark = spark
        self._background = background
        self._folder = folder
        self._attempts: dict[int, Attempt] = {}
        self._canceled: set[int] = set()
        clusters.on_stop.append(self._cluster_stopped)

    def resume(self) -> None:
        """Say of runs that the end of the emulator cut that it did."""
        for run in self._jobs.runs(None, active=True, completed=False):
            message = "The emulator ended while the run was under way"
            for task in run["tasks"]:
                if task["state"]["life_cycle_state"] not in ENDED:
                    self._jobs.set_state(task["run_id"], "INTERNAL_ERROR", FAILED, message)
            self._jobs.set_state(run["run_id"], "INTERNAL_ERROR", FAILED, message)

    def start(self, run: Document) -> None:
        """Start a run that was added, or skip it where its job may have no more at once."""
        run_id, job_id = int(run["run_id"]), run.get("job_id")
        if job_id:
            others = self._jobs.runs(job_id, active=True, completed=False)
            limit = int(run["settings"].get("max_concurrent_runs", 1))
            if len(others) > limit:
                message = f"Skipped: the job has {limit} concurrent run(s) already"
                for task in run["tasks"]:
                    self._jobs.set_state(task["run_id"], "SKIPPED", "", message)
                self._jobs.set_state(run_id, "SKIPPED", "", message)
                return
        self._background.spawn(_name(run_id), self._run(run_id))

    def cancel(self, run_id: int) -> None:
        """End a run; one that has ended stays as it is."""
        run = self._jobs.run(run_id)
        run_id = int(run.get("parent_run_id", run_id))
        if self._jobs.run(run_id)["state"]["life_cycle_state"] in ENDED:
            return
        self._canceled.add(run_id)
        self._jobs.set_state(run_id, "TERMINATING", "", "Canceled by the user")
        self._background.cancel(_name(run_id))

    def output(self, run_id: int) -> dict[str, Any]:
        """The log, the error and the run itself. Raises ApiError for a run of several tasks."""
        run = self._jobs.run(run_id)
        if "tasks" in run:
            if len({task["task_key"] for task in run["tasks"]}) > 1:
                raise errors.many_tasks()
            return {**self.output(run["tasks"][-1]["run_id"]), "metadata": shown(run)}
        log = self._folder / str(run_id) / "log.txt"
        said = log.read_bytes() if log.exists() else b""
        text = self._tree.show(said[-MAX_LOG:].decode(errors="replace"))
        found = {"metadata": shown(run), "logs": text, "logs_truncated": len(said) > MAX_LOG}
        for name in ("error", "error_trace"):
            if run.get(name):
                found[name] = self._tree.show(run[name])
        return found

    # A run

    async def _run(self, run_id: int) -> None:
        settings = self._jobs.run(run_id)["settings"]
        self._jobs.set_state(run_id, "RUNNING", "", "In run")
        limit = settings.get("timeout_seconds") or None
        try:
            results = await asyncio.wait_for(self._tasks(run_id, settings), limit)
        except asyncio.TimeoutError:
            self._cut(run_id, "TIMEDOUT", f"The run took longer than {limit} s")
        except asyncio.CancelledError:
            # Without a request to cancel the emulator itself ends, and says so when it starts again.
            if run_id in self._canceled:
                self._canceled.discard(run_id)
                self._cut(run_id, "CANCELED", "Run cancelled.")
            raise
        else:
            self._finish(run_id, results)
        self._background.changed()

    def _finish(self, run_id: int, results: Mapping[str, Verdict]) -> None:
        tasks = self._jobs.run(run_id)["tasks"]
        inner = {each["task_key"] for task in tasks for each in task.get("depends_on", ())}
        leaves = [verdict for key, verdict in results.items() if key not in inner]
        bad = [verdict for verdict in leaves if verdict.result not in (SUCCESS, "EXCLUDED")]
        if not bad:
            self._jobs.set_state(run_id, "TERMINATED", SUCCESS)
            return
        worst = next((verdict for verdict in bad if verdict.life_cycle == "INTERNAL_ERROR"), bad[0])
        failed = [key for key, verdict in results.items() if verdict.result not in (SUCCESS, "EXCLUDED")]
        message = worst.message if len(results) == 1 else f"Task(s) {', '.join(failed)} failed."
        result = worst.result if len(results) == 1 else FAILED
        self._jobs.set_state(run_id, worst.life_cycle, result, message)

    def _cut(self, run_id: int, result: str, message: str) -> None:
        for task in self._jobs.run(run_id)["tasks"]:
            if task["state"]["life_cycle_state"] not in ENDED:
                self._jobs.set_state(task["run_id"], "TERMINATED", result, message)
        self._jobs.set_state(run_id, "TERMINATED", result, message)
        self._background.changed()

    async def _tasks(self, run_id: int, settings: Mapping[str, Any]) -> dict[str, Verdict]:
        """Run the tasks, each when those it depends on have ended; how each did."""
        waiting = {task["task_key"]: task for task in self._jobs.run(run_id)["tasks"]}
        results: dict[str, Verdict] = {}
        running: dict[asyncio.Task[Verdict], str] = {}
        try:
            while waiting or running:
                for key, task in list(waiting.items()):
                    needs = [each["task_key"] for each in task.get("depends_on", ())]
                    if not all(need in results for need in needs):
                        continue
                    del waiting[key]
                    run_if = task.get("run_if", "ALL_SUCCESS")
                    if satisfied(run_if, [results[need].result for need in needs]):
                        running[asyncio.ensure_future(self._task(run_id, task, settings))] = key
                    else:
                        result = UPSTREAM.get(run_if, "EXCLUDED")
                        results[key] = Verdict("TERMINATED", result, f"run_if {run_if} does not hold")
                        self._jobs.set_state(task["run_id"], "TERMINATED", result, results[key].message)
                if running:
                    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        results[running.pop(each)] = each.result()
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return results

    # A task

    async def _task(self, run_id: int, task: Mapping[str, Any], settings: Mapping[str, Any]) -> Verdict:
        """Try until it succeeds or the retries are used up; -1 retries for ever."""
        retries, attempt, task_run_id = int(task.get("max_retries", 0)), 0, int(task["run_id"])
        declared = {name: value for name, value in task.items() if name not in OF_AN_ATTEMPT}
        while True:
            verdict = await self._attempt(run_id, task_run_id, declared, settings)
            more = {"error": verdict.error, "error_trace": verdict.trace}
            self._jobs.set_state(task_run_id, verdict.life_cycle, verdict.result, verdict.message, **more)
            self._background.changed()
            again = verdict.result != SUCCESS and (retries < 0 or attempt < retries)
            if not again or (verdict.result == "TIMEDOUT" and not task.get("retry_on_timeout")):
                return verdict
            attempt += 1
            await asyncio.sleep(int(task.get("min_retry_interval_millis", 0)) / 1000)
            task_run_id = self._jobs.add_attempt(run_id, declared, attempt)

    async def _attempt(
        self, run_id: int, task_run_id: int, task: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> Verdict:
        wanted = new_cluster(task, settings)
        made = "" if wanted is None else str(self._clusters.create(wanted, "JOB")["cluster_id"])
        limit = task.get("timeout_seconds") or None
        try:
            cluster_id = made or str(task["existing_cluster_id"])
            work = self._on_cluster(cluster_id, run_id, task_run_id, task)
            return await asyncio.wait_for(work, limit)
        except asyncio.TimeoutError:
            return Verdict("TERMINATED", "TIMEDOUT", f"The task took longer than {limit} s")
        except ApiError as error:
            return Verdict("INTERNAL_ERROR", FAILED, error.message)
        finally:
            if made:
                self._clusters.permanent_delete(made)

    async def _on_cluster(
        self, cluster_id: str, run_id: int, task_run_id: int, task: Mapping[str, Any]
    ) -> Verdict:
        if self._clusters.get(cluster_id)["state"] == "TERMINATED":
            self._clusters.start(cluster_id)
        await self._clusters.settled(cluster_id)
        if not self._clusters.runs(cluster_id):
            why = self._clusters.get(cluster_id)["state_message"]
            return Verdict("INTERNAL_ERROR", FAILED, f"Cluster {cluster_id} did not start: {why}")
        if task.get("libraries"):
            self._libraries.install(cluster_id, task["libraries"])
        await self._libraries.settled(cluster_id)
        for each in self._libraries.statuses(cluster_id):
            if each["status"] == "FAILED" and each["library"] in task.get("libraries", ()):
                why = "\n".join(each["messages"])
                return Verdict("INTERNAL_ERROR", FAILED, f"Library installation failed: {why}")
        if not self._clusters.runs(cluster_id):
            return Verdict("INTERNAL_ERROR", FAILED, f"Cluster {cluster_id} was terminated")
        folder = self._folder / str(task_run_id)
        process = TaskProcess(folder, self._clusters.environment(cluster_id), self._asker(cluster_id))
        attempt = self._attempts[task_run_id] = Attempt(cluster_id, process)
        instance = {"cluster_instance": {"cluster_id": cluster_id, "spark_context_id": str(task_run_id)}}
        self._jobs.set_state(task_run_id, "RUNNING", "", "In run", **instance)
        try:
            ended = await process.run(self._program(run_id, task), self._variables(cluster_id))
        finally:
            del self._attempts[task_run_id]
        return verdict_of(ended, attempt.reason)

    def _program(self, run_id: int, task: Mapping[str, Any]) -> dict[str, Any]:
        """What the process is told to call, with the workspace's paths made real ones."""
        run = self._jobs.run(run_id)
        given = run["overriding_parameters"]
        values = {"job.id": str(run.get("job_id", 0)), "job.run_id": str(run_id), "job.name": run["run_name"]}
        values["task.name"] = task["task_key"]
        declared = {each["name"]: each["default"] for each in run["settings"].get("parameters", ())}
        for name, value in {**declared, **given.get("job_parameters", {})}.items():
            values[f"job.parameters.{name}"] = str(value)
        parameters = [self._tree.translate(each) for each in parameters_of(task, given, values)]
        if kind_of(task) == "python_wheel_task":
            wheel = task["python_wheel_task"]
            return {
                "package": wheel["package_name"],
                "entry_point": wheel["entry_point"],
                "parameters": parameters,
            }
        named = str(task["spark_python_task"]["python_file"])
        file = self._tree.real(named if ":" in named.split("/")[0] or named.startswith("/Volumes/") else _in_workspace(named))
        return {"file": str(file), "parameters": parameters}

    def _variables(self, cluster_id: str) -> dict[str, str]:
        """The cluster's own variables, with the secrets that they refer to."""
        wanted = self._clusters.get(cluster_id).get("spark_env_vars", {})
        return {
            name: self._tree.translate(
                REFERENCE.sub(lambda match: base64.b64decode(self._secrets.get(match[1], match[2])).decode(), value)
            )
            for name, value in wanted.items()
        }

    def _asker(self, cluster_id: str) -> Callable[[], Awaitable[dict[str, Any]]]:
        async def ask() -> dict[str, Any]:
            try:
                gateway = await self._spark.gateway()
            except SparkUnavailable as error:
                return {"error": str(error)}
            return {**gateway, "conf": self._clusters.get(cluster_id).get("spark_conf", {})}

        return ask

    def _cluster_stopped(self, cluster_id: str, reason: str) -> None:
        for attempt in self._attempts.values():
            if attempt.cluster_id == cluster_id:
                attempt.reason = reason
                attempt.process.kill()


OF_AN_ATTEMPT = ("run_id", "attempt_number", "start_time", "end_time", "state", "error", "error_trace")


def verdict_of(ended: Ended, reason: str) -> Verdict:
    """What the end of a process means; a reason to end it goes before its exit code."""
    if reason:
        return Verdict("INTERNAL_ERROR", FAILED, reason)
    if ended.code == 0:
        return Verdict("TERMINATED", SUCCESS)
    message = "Workload failed, see run output for details"
    return Verdict("TERMINATED", FAILED, message, ended.error, ended.trace)


def shown(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as clients read it."""
    hidden = ("settings", "error", "error_trace")
    found = {name: value for name, value in run.items() if name not in hidden}
    if "tasks" in found:
        found["tasks"] = [shown(task) for task in found["tasks"]]
    if "settings" in run:
        for name in ("schedule", "job_clusters"):
            if name in run["settings"]:
                found[name] = run["settings"][name]
    return found


def _in_workspace(path: str) -> str:
    """The whole path of a workspace file, which may be written without `/Workspace`."""
    return path if path.startswith(("/Workspace/", "/dbfs/")) else f"/Workspace/{path.lstrip('/')}"


def _name(run_id: int) -> str:
    return f"run {run_id}"
