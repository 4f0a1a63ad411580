"""A one-time run is canceled if it does not end in time. The output of the run's tasks
is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lake_ci.deploy.client import JobRun, TaskRun
from lake_ci.deploy.errors import StepError
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.runs import Runs, window
from lake_ci.model.settings import Limits
from testing.unit.lake_ci.deploy.conftest import FakeWorkspace

TASKS: list[Mapping[str, Any]] = [{"task_key": "fill"}, {"task_key": "inspect"}]


@pytest.fixture
def runs(workspace: FakeWorkspace, clock: Clock) -> Runs:
    return Runs(workspace, Limits(poll=0.5, run=5), clock)


def test_each_ended_task_is_reported_once_with_its_output(runs: Runs) -> None:
    reported: list[str] = []
    ended = runs.once(
        "name", "token", TASKS, ended=lambda task: reported.append(task.key)
    )
    assert reported == ["fill", "inspect"]
    assert ended.result("inspect")["python"] == "3.11.9"
    assert (ended.window.started, ended.window.ended) == (1_000_000_000, 1_000_001_000)


def test_same_token_gives_the_same_run(runs: Runs, workspace: FakeWorkspace) -> None:
    first = runs.once("name", "token", TASKS)
    assert runs.once("name", "token", TASKS).run.id == first.run.id
    assert len(workspace.runs) == 1


def test_failed_task_is_an_error_though_the_run_is_terminated(
    runs: Runs, workspace: FakeWorkspace
) -> None:
    workspace.result = "FAILED"
    with pytest.raises(
        StepError, match="the task fill .* ended as TERMINATED FAILED\ndivision by zero"
    ):
        runs.once("name", "token", TASKS)


def test_run_that_hangs_is_cancelled(runs: Runs, workspace: FakeWorkspace) -> None:
    going = JobRun(5, "RUNNING", tasks=(TaskRun("fill", 6, "RUNNING", started=1.0),))
    # The run does not end.
    workspace.submit = lambda body: 5  # type: ignore[method-assign]  # a double
    # Until it is canceled.
    workspace.run = lambda run_id: (  # type: ignore[method-assign]  # a double
        JobRun(5, "TERMINATED", "CANCELED") if workspace.calls_of("cancel") else going
    )
    with pytest.raises(
        StepError, match=r"name \(run 5\) did not end, and was cancelled within 5 s"
    ):
        runs.once("name", "token", TASKS)
    assert workspace.calls_of("cancel") == [(5,)]


def test_run_of_an_interrupted_deploy_is_cancelled(
    runs: Runs, workspace: FakeWorkspace
) -> None:
    def interrupt(task: TaskRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.once("name", "token", TASKS, ended=interrupt)
    assert len(workspace.calls_of("cancel")) == 1


def test_script_without_a_result_is_an_error(
    runs: Runs, workspace: FakeWorkspace
) -> None:
    ended = runs.once("name", "token", TASKS)
    with pytest.raises(StepError, match="printed no result"):
        ended.result("other")


def test_window_of_a_run_that_goes_on_has_no_end() -> None:
    done = TaskRun("a", 2, "TERMINATED", "SUCCESS", "", 1.0, 2.0)
    going = TaskRun("b", 3, "RUNNING", "", "", 2.0)
    assert window(JobRun(1, "RUNNING", tasks=(done, going))).ended == 0
    assert window(JobRun(1, "TERMINATED", tasks=(done,))).ended == 2000
