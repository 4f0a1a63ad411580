from __future__ import annotations

from typing import Any

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.jobs.state import Jobs, shown
from workspace_emulator.store import Store

SETTINGS: dict[str, Any] = {
    "tasks": [
        {
            "task_key": "a",
            "existing_cluster_id": "c",
            "spark_python_task": {"python_file": "/x.py"},
        }
    ]
}


def test_a_run_of_a_task_knows_its_parent_and_ends_with_a_time(store: Store) -> None:
    jobs = Jobs(store, "me")
    run = jobs.add_run(SETTINGS, {}, "")
    task_run = run["tasks"][0]["run_id"]
    jobs.set_state(task_run, "TERMINATED", "FAILED", "no", error="E")
    found = jobs.run(task_run)
    assert found["parent_run_id"] == run["run_id"] and found["end_time"] > 0
    assert found["state"] == {
        "life_cycle_state": "TERMINATED",
        "result_state": "FAILED",
        "state_message": "no",
    }
    assert "error" not in shown(found) and "settings" not in shown(
        jobs.run(run["run_id"])
    )


def test_a_token_is_of_one_job(store: Store) -> None:
    jobs = Jobs(store, "me")
    job_id = jobs.create(SETTINGS)
    run = jobs.add_run(SETTINGS, {}, "t", job_id)
    assert (
        jobs.known("t", job_id) == run
        and jobs.known("t") is None
        and jobs.known("") is None
    )
    with pytest.raises(ApiError, match="more than 64 characters"):
        jobs.known("x" * 65)


def test_a_run_under_way_is_not_deleted(store: Store) -> None:
    jobs = Jobs(store, "me")
    run_id = jobs.add_run(SETTINGS, {}, "")["run_id"]
    assert jobs.runs(None, active=True, completed=False) and not jobs.runs(
        None, active=False, completed=True
    )
    with pytest.raises(ApiError, match="still running"):
        jobs.delete_run(run_id)
    jobs.set_state(run_id, "TERMINATED", "SUCCESS")
    jobs.delete_run(run_id)
    with pytest.raises(ApiError, match=f"Run {run_id} does not exist"):
        jobs.run(run_id)
