"""Tests jobs and runs through databricks-cli and the SDK. Tasks run as real
processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotImplemented,
    ResourceDoesNotExist,
)
from databricks.sdk.service.compute import ClusterSpec
from databricks.sdk.service.jobs import (
    JobSettings,
    NotebookTask,
    RunIf,
    RunLifeCycleState,
    RunResultState,
    SparkPythonTask,
    SubmitTask,
    Task,
    TaskDependency,
)

from testing.integration.workspace_emulator.conftest import RUNTIME
from testing.integration.workspace_emulator.execution import (
    output,
    run,
    script,
    script_task,
)

Cli = Callable[..., SimpleNamespace]


def test_output_error_and_exit_come_back(
    sdk: WorkspaceClient, cluster: str, volume: str
) -> None:
    text = (
        "import os, sys\nprint(sys.argv[1:], os.environ['SOURCE'])\nassert"
        " os.path.isdir(os.environ['SOURCE'])\n"
    )
    path = script(sdk, "arguments.py", text + "raise ValueError('no ' + sys.argv[1])\n")
    ended = run(sdk, script_task(cluster, path, f"--to={volume}/x", "plain"))
    assert ended.state and ended.state.result_state is RunResultState.FAILED
    assert (
        ended.run_page_url
        and ended.state.state_message == "Workload failed, see run output for details"
    )
    told = output(sdk, ended)
    assert (told.logs or "").startswith(f"['--to={volume}/x', 'plain'] {volume}\n")
    assert told.error == f"ValueError: no --to={volume}/x" and path in (
        told.error_trace or ""
    )
    by_exit = run(
        sdk, script_task(cluster, script(sdk, "exit.py", "import sys\nsys.exit(3)\n"))
    )
    assert output(sdk, by_exit).error == "SystemExit: 3"
    assert "error" not in json.dumps(
        output(sdk, run(sdk, script_task(cluster, script(sdk, "ok.py", "")))).as_dict()
    )


def test_a_token_starts_one_run(sdk: WorkspaceClient, cluster: str) -> None:
    task = script_task(cluster, script(sdk, "once.py", "print('once')\n"))
    first = sdk.jobs.submit(
        run_name="a", tasks=[task], idempotency_token="token-1"
    ).result()
    again = sdk.jobs.submit(
        run_name="a", tasks=[task], idempotency_token="token-1"
    ).result()
    other = sdk.jobs.submit(
        run_name="a", tasks=[task], idempotency_token="token-2"
    ).result()
    assert first.run_id == again.run_id != other.run_id
    assert first.run_id in [each.run_id for each in sdk.jobs.list_runs()]


def test_a_job_is_made_changed_listed_and_deleted(
    sdk: WorkspaceClient, cluster: str
) -> None:
    path = script(sdk, "job.py", "import sys\nprint(sys.argv[1:])\n")
    task = Task(
        task_key="main",
        existing_cluster_id=cluster,
        spark_python_task=SparkPythonTask(path, parameters=["a"]),
    )
    job_id = sdk.jobs.create(name="nightly", tasks=[task], tags={"team": "lake"}).job_id
    assert job_id
    assert [each.job_id for each in sdk.jobs.list(name="nightly")] == [job_id]
    ended = sdk.jobs.run_now(job_id, python_params=["b", "{{job.id}}"]).result()
    assert output(sdk, ended).logs == f"['b', '{job_id}']\n"
    sdk.jobs.update(
        job_id,
        new_settings=JobSettings(max_concurrent_runs=3),
        fields_to_remove=["tags"],
    )
    settings = sdk.jobs.get(job_id).settings
    assert (
        settings
        and settings.max_concurrent_runs == 3
        and not settings.tags
        and settings.tasks
    )
    sdk.jobs.reset(job_id, JobSettings(name="daily", tasks=[task]))
    settings = sdk.jobs.get(job_id).settings
    assert settings and settings.name == "daily" and settings.max_concurrent_runs == 1
    assert ended.run_id
    sdk.jobs.delete_run(ended.run_id)
    with pytest.raises(
        ResourceDoesNotExist, match=f"Run {ended.run_id} does not exist"
    ):
        sdk.jobs.get_run(ended.run_id)
    sdk.jobs.delete(job_id)
    with pytest.raises(ResourceDoesNotExist, match=f"Job {job_id} does not exist"):
        sdk.jobs.get(job_id)


def test_tasks_run_in_order_and_what_depends_on_a_failed_one_does_not(
    sdk: WorkspaceClient, cluster: str
) -> None:
    good, bad = script(sdk, "good.py", "print('good')\n"), script(
        sdk, "bad.py", "raise SystemExit('bad')\n"
    )

    def after(*keys: str) -> list[TaskDependency]:
        return [TaskDependency(key) for key in keys]

    ended = run(
        sdk,
        script_task(cluster, good, key="one"),
        script_task(cluster, bad, key="two", depends_on=after("one")),
        script_task(cluster, good, key="three", depends_on=after("two")),
        script_task(
            cluster, good, key="always", depends_on=after("two"), run_if=RunIf.ALL_DONE
        ),
    )
    found = {
        each.task_key: each.state.result_state.value
        for each in ended.tasks or ()
        if each.state and each.state.result_state
    }
    assert found == {
        "one": "SUCCESS",
        "two": "FAILED",
        "three": "UPSTREAM_FAILED",
        "always": "SUCCESS",
    }
    assert ended.state and ended.state.result_state is RunResultState.FAILED
    assert ended.run_id
    with pytest.raises(InvalidParameterValue, match="multiple tasks is not supported"):
        sdk.jobs.get_run_output(ended.run_id)


def test_a_task_is_tried_again(sdk: WorkspaceClient, cluster: str, volume: str) -> None:
    text = (
        "import pathlib, sys\nf = pathlib.Path(sys.argv[1])\nif not f.exists():\n   "
        " f.touch()\n    sys.exit(1)\n"
    )
    job = sdk.jobs.create(
        name="flaky",
        tasks=[
            Task(
                task_key="main",
                existing_cluster_id=cluster,
                max_retries=2,
                spark_python_task=SparkPythonTask(
                    script(sdk, "flaky.py", text), parameters=[f"{volume}/tried"]
                ),
            )
        ],
    )
    assert job.job_id
    ended = sdk.jobs.run_now(job.job_id).result()
    results = [each.state.result_state for each in ended.tasks or () if each.state]
    assert results == [RunResultState.FAILED, RunResultState.SUCCESS]
    assert ended.state and ended.state.result_state is RunResultState.SUCCESS


def test_what_takes_too_long_is_ended_with_all_it_started(
    sdk: WorkspaceClient, cluster: str, volume: str
) -> None:
    text = "import subprocess, sys\nsubprocess.run(['sleep', '6000'])\n"
    path = script(sdk, "long.py", text)
    ended = run(sdk, script_task(cluster, path, timeout_seconds=1))
    assert ended.state and ended.state.result_state is RunResultState.TIMEDOUT
    waiting = sdk.jobs.submit(run_name="long", tasks=[script_task(cluster, path)])
    canceled = sdk.jobs.cancel_run(waiting.run_id).result()
    assert canceled.state and canceled.state.result_state is RunResultState.CANCELED
    job = sdk.jobs.create(
        name="long",
        tasks=[
            Task(
                task_key="main",
                existing_cluster_id=cluster,
                spark_python_task=SparkPythonTask(path),
            )
        ],
    )
    assert job.job_id
    first = sdk.jobs.run_now(job.job_id)
    skipped = sdk.jobs.run_now(job.job_id).result()
    assert skipped.state and skipped.state.life_cycle_state is RunLifeCycleState.SKIPPED
    sdk.jobs.cancel_all_runs(job_id=job.job_id)
    ended = first.result()
    assert ended.state and ended.state.result_state is RunResultState.CANCELED


def test_a_restart_ends_what_runs(sdk: WorkspaceClient) -> None:
    own = (
        sdk.clusters.create(cluster_name="cut", spark_version=RUNTIME, num_workers=0)
        .result()
        .cluster_id
    )
    assert own
    waiting = sdk.jobs.submit(
        run_name="cut",
        tasks=[
            script_task(own, script(sdk, "sleep.py", "import time\ntime.sleep(6000)\n"))
        ],
    )
    deadline = time.monotonic() + 60
    while True:
        tasks = sdk.jobs.get_run(waiting.run_id).tasks or []
        if (
            tasks[0].state
            and tasks[0].state.life_cycle_state is RunLifeCycleState.RUNNING
        ):
            break
        assert time.monotonic() < deadline, tasks[0].state
    sdk.clusters.restart(own).result()
    ended = sdk.jobs.get_run(waiting.run_id)
    assert (
        ended.state and ended.state.life_cycle_state is RunLifeCycleState.INTERNAL_ERROR
    )
    assert ended.state.state_message == f"Cluster {own} was restarted"
    sdk.clusters.permanent_delete(own)


def test_a_new_cluster_is_made_for_a_run_and_goes_with_it(sdk: WorkspaceClient) -> None:
    path = script(sdk, "where.py", "import sys\nprint(sys.version_info[:2])\n")
    task = SubmitTask(
        task_key="main",
        new_cluster=ClusterSpec(spark_version=RUNTIME, num_workers=0),
        spark_python_task=SparkPythonTask(path),
    )
    before = {each.cluster_id for each in sdk.clusters.list()}
    assert output(sdk, run(sdk, task)).logs == "(3, 11)\n"
    assert {each.cluster_id for each in sdk.clusters.list()} == before


def test_what_cannot_run_is_refused_at_once(sdk: WorkspaceClient, cluster: str) -> None:
    notebook = SubmitTask(
        task_key="n", existing_cluster_id=cluster, notebook_task=NotebookTask("/n")
    )
    with pytest.raises(NotImplemented, match="tasks of kind notebook_task"):
        sdk.jobs.submit(run_name="n", tasks=[notebook])
    with pytest.raises(NotImplemented, match="serverless compute"):
        sdk.jobs.submit(
            run_name="n",
            tasks=[
                SubmitTask(task_key="n", spark_python_task=SparkPythonTask("/x.py"))
            ],
        )
    circle = [
        script_task(cluster, "/x.py", key="a", depends_on=[TaskDependency("b")]),
        script_task(cluster, "/x.py", key="b", depends_on=[TaskDependency("a")]),
    ]
    with pytest.raises(InvalidParameterValue, match="circular dependencies: a, b"):
        sdk.jobs.submit(run_name="n", tasks=circle)


def test_cli_drives_a_job_and_a_run(
    sdk: WorkspaceClient, cli: Cli, cluster: str
) -> None:
    path = script(sdk, "cli.py", "print('from the CLI')\n")
    program = {
        "existing_cluster_id": cluster,
        "spark_python_task": {"python_file": path},
    }
    made = cli(
        "jobs",
        "create",
        "--json",
        json.dumps({"name": "cli", "tasks": [{"task_key": "t", **program}]}),
    )
    job_id = json.loads(made.out)["job_id"]
    settings = {"name": "cli 2", "tasks": [{"task_key": "t", **program}]}
    assert (
        cli(
            "jobs", "reset", "--job-id", str(job_id), "--json", json.dumps(settings)
        ).code
        == 0
    )
    assert "cli 2" in cli("jobs", "list", "--all").out
    submitted = cli(
        "runs", "submit", "--wait", "--json", json.dumps({"run_name": "c", **program})
    )
    assert submitted.code == 0, submitted
    run_id = str(json.loads(submitted.out[: submitted.out.index("}") + 1])["run_id"])
    assert (
        json.loads(cli("runs", "get-output", "--run-id", run_id).out)["logs"]
        == "from the CLI\n"
    )
    missing = cli("runs", "get", "--run-id", "999999")
    assert missing.code == 1 and "Run 999999 does not exist" in missing.out
