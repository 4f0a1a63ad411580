"""Runs a script or an entry point on a cluster and reads the result."""

from __future__ import annotations

import io
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import (
    PythonWheelTask,
    Run,
    RunOutput,
    SparkPythonTask,
    SubmitTask,
)
from databricks.sdk.service.workspace import ImportFormat


def script(sdk: WorkspaceClient, name: str, text: str) -> str:
    """Upload a script to the workspace. Returns its path."""
    path = f"/Workspace/Shared/scripts/{name}"
    sdk.workspace.upload(
        path, io.BytesIO(text.encode()), format=ImportFormat.RAW, overwrite=True
    )
    return path


def script_task(
    cluster: str, path: str, *parameters: str, key: str = "main", **more: Any
) -> SubmitTask:
    program = SparkPythonTask(python_file=path, parameters=list(parameters))
    return SubmitTask(
        task_key=key, existing_cluster_id=cluster, spark_python_task=program, **more
    )


def wheel_task(cluster: str, package: str, entry_point: str, **more: Any) -> SubmitTask:
    program = PythonWheelTask(package_name=package, entry_point=entry_point, **more)
    return SubmitTask(
        task_key="main", existing_cluster_id=cluster, python_wheel_task=program
    )


def run(sdk: WorkspaceClient, *tasks: SubmitTask, **more: Any) -> Run:
    """Submit a one-time run and wait until it ends."""
    return sdk.jobs.submit(run_name="test", tasks=list(tasks), **more).result()


def output(sdk: WorkspaceClient, ended: Run) -> RunOutput:
    """Return the output of the run's last task."""
    assert ended.tasks and ended.tasks[-1].run_id
    return sdk.jobs.get_run_output(ended.tasks[-1].run_id)
