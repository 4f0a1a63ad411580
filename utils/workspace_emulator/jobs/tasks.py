"""Reads and validates the settings of tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import invalid_parameter, missing_field, not_emulated
from ..libraries.state import check as check_library
from ..runtime.release import check as check_runtime

EMULATED = ("python_wheel_task", "spark_python_task")
RUN_IF = (
    "ALL_SUCCESS",
    "ALL_DONE",
    "NONE_FAILED",
    "AT_LEAST_ONE_SUCCESS",
    "ALL_FAILED",
    "AT_LEAST_ONE_FAILED",
)
# Task fields that the API 2.0 allows directly in the settings of a job. A job with
# these fields has a single task.
ON_THE_JOB = (
    *EMULATED,
    "existing_cluster_id",
    "new_cluster",
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
)
REFERENCE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
SUCCESS, FAILED = "SUCCESS", "FAILED"


def tasks_of(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks of a job or a one-time run. Raises ApiError for invalid
    settings.
    """
    tasks = _declared(settings)
    keys = [task.get("task_key") for task in tasks]
    for number, task in enumerate(tasks):
        key = task.get("task_key")
        if not isinstance(key, str) or not re.fullmatch(r"[\w-]{1,100}", key):
            raise invalid_parameter(
                f"Task number {number + 1} has a missing or invalid task_key: {key!r}"
            )
        if keys.count(key) > 1:
            raise invalid_parameter(f"Two tasks have the key {key!r}")
        _check(task, keys, settings)
    _check_order(tasks)
    return tasks


def needs_of(task: Mapping[str, Any]) -> list[str]:
    """Return the keys of a task's dependencies."""
    return [each["task_key"] for each in task.get("depends_on", ())]


def satisfied(run_if: str, results: Iterable[str]) -> bool:
    """Return whether the results of the dependencies satisfy a task's `run_if`."""
    ended = list(results)
    good = [result == SUCCESS for result in ended]
    bad = [result not in (SUCCESS, "EXCLUDED") for result in ended]
    conditions = {
        "ALL_SUCCESS": all(good),
        "ALL_DONE": True,
        "NONE_FAILED": not any(bad),
        "AT_LEAST_ONE_SUCCESS": not ended or any(good),
        "ALL_FAILED": all(bad),
        "AT_LEAST_ONE_FAILED": any(bad),
    }
    return conditions[run_if]


def parameters_of(
    task: Mapping[str, Any], given: Mapping[str, Any], values: Mapping[str, str]
) -> list[str]:
    """Return the arguments for a task's script or entry point.

    Args:
        task: the declared task.
        given: `python_params` or `python_named_params` of run-now. These parameters
            replace the task's own parameters.
        values: the values of references such as `{{job.id}}`. References without a
            value are not replaced.
    """
    kind = kind_of(task)
    positional = given.get("python_params") or task[kind].get("parameters") or []
    named = given.get("python_named_params") or task[kind].get("named_parameters") or {}
    if kind == "python_wheel_task" and (named and not given.get("python_params")):
        positional = [f"--{name}={value}" for name, value in named.items()]
    return [
        REFERENCE.sub(lambda match: values.get(match[1], match[0]), str(each))
        for each in positional
    ]


def kind_of(task: Mapping[str, Any]) -> str:
    """Return `python_wheel_task` or `spark_python_task`."""
    return next(kind for kind in EMULATED if kind in task)


def _declared(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks in `tasks`, or the single task that the job's settings
    describe.
    """
    if "tasks" not in settings:
        task = {name: settings[name] for name in settings if _of_a_task(name)}
        return [{"task_key": "main", **task}]
    tasks = settings["tasks"]
    if (
        not isinstance(tasks, list)
        or not all(isinstance(task, dict) for task in tasks)
        or not tasks
    ):
        raise invalid_parameter("tasks must be a list of at least one object")
    return tasks


def _of_a_task(name: str) -> bool:
    return name in ON_THE_JOB or name.endswith("_task")


def _check(
    task: Mapping[str, Any], keys: list[Any], settings: Mapping[str, Any]
) -> None:
    kinds = [name for name in task if name.endswith("_task")]
    for kind in kinds:
        if kind not in EMULATED:
            raise not_emulated(f"tasks of kind {kind}")
    if len(kinds) != 1:
        raise invalid_parameter(
            f"Task {task['task_key']} must have exactly one of: {', '.join(EMULATED)}"
        )
    _check_program(kinds[0], task[kinds[0]])
    _check_compute(task, settings)
    for library in task.get("libraries", ()):
        check_library(library)
    if task.get("run_if", "ALL_SUCCESS") not in RUN_IF:
        raise invalid_parameter(
            f"run_if must be one of {', '.join(RUN_IF)}, not {task['run_if']!r}"
        )
    for dependency in task.get("depends_on", ()):
        if dependency.get("task_key") not in keys:
            raise invalid_parameter(
                f"Task {task['task_key']} depends on {dependency}, which is not a task"
            )


def _check_program(kind: str, program: Any) -> None:
    required = (
        ("package_name", "entry_point")
        if kind == "python_wheel_task"
        else ("python_file",)
    )
    if not isinstance(program, dict):
        raise invalid_parameter(f"{kind} must be an object")
    for name in required:
        if not isinstance(program.get(name), str) or not program[name]:
            raise missing_field(f"{kind}.{name}")
    if program.get("source", "WORKSPACE") != "WORKSPACE":
        raise not_emulated(f"source {program['source']} of a {kind}")
    if program.get("parameters") and program.get("named_parameters"):
        raise invalid_parameter(
            "parameters and named_parameters cannot be used together"
        )


def _check_compute(task: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    named = [
        name
        for name in ("existing_cluster_id", "new_cluster", "job_cluster_key")
        if task.get(name)
    ]
    if "environment_key" in task or not named:
        raise not_emulated(
            f"serverless compute (task {task['task_key']} has no cluster)"
        )
    if len(named) > 1:
        raise invalid_parameter(
            f"Task {task['task_key']} has more than one cluster: {', '.join(named)}"
        )
    wanted = new_cluster(task, settings)
    if wanted is not None:
        check_runtime(str(wanted.get("spark_version")))


def new_cluster(
    task: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the settings of a task's new cluster, or None if the task runs on an
    existing cluster.
    """
    if task.get("existing_cluster_id"):
        return None
    if task.get("new_cluster"):
        return dict(task["new_cluster"])
    for each in settings.get("job_clusters", ()):
        if each.get("job_cluster_key") == task["job_cluster_key"]:
            return dict(each["new_cluster"])
    raise invalid_parameter(f"There is no job cluster {task['job_cluster_key']!r}")


def _check_order(tasks: list[dict[str, Any]]) -> None:
    """Raise ApiError for circular dependencies."""
    waiting = {task["task_key"]: set(needs_of(task)) for task in tasks}
    while waiting:
        free = [key for key, needs in waiting.items() if not needs & waiting.keys()]
        if not free:
            raise invalid_parameter(
                f"Tasks have circular dependencies: {', '.join(waiting)}"
            )
        for key in free:
            del waiting[key]
