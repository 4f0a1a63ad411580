from __future__ import annotations

from typing import Any

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.jobs.tasks import (
    RUN_IF,
    parameters_of,
    satisfied,
    tasks_of,
)

SCRIPT: dict[str, Any] = {
    "existing_cluster_id": "c",
    "spark_python_task": {"python_file": "/x.py"},
}
WHEEL: dict[str, Any] = {"python_wheel_task": {"package_name": "p", "entry_point": "e"}}


def task(key: str = "a", **more: Any) -> dict[str, Any]:
    return {"task_key": key, **SCRIPT, **more}


def test_a_job_of_one_task_is_one_of_many() -> None:
    assert tasks_of({"name": "n", **SCRIPT, "max_retries": 2}) == [
        {"task_key": "main", **SCRIPT, "max_retries": 2}
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": []}, "tasks must be a list of at least one object"),
        ({"tasks": [task("")]}, "Task number 1 has a missing or invalid task_key"),
        ({"tasks": [task("a"), task("a")]}, "Two tasks have the key 'a'"),
        (
            {"tasks": [task(depends_on=[{"task_key": "z"}])]},
            "depends on {'task_key': 'z'}, which is not a task",
        ),
        ({"tasks": [task(**WHEEL)]}, "must have exactly one of"),
        (
            {"tasks": [{"task_key": "a", "existing_cluster_id": "c"}]},
            "must have exactly one of",
        ),
        (
            {"tasks": [task(spark_python_task={})]},
            "Missing required field: spark_python_task.python_file",
        ),
        (
            {"tasks": [task(new_cluster={"spark_version": "x"})]},
            "has more than one cluster",
        ),
        ({"tasks": [task(run_if="SOMETIMES")]}, "run_if must be one of ALL_SUCCESS"),
        ({"tasks": [task(libraries=[{"whl": ""}])]}, "exactly one of"),
        (
            {"tasks": [task(existing_cluster_id="", job_cluster_key="k")]},
            "no job cluster 'k'",
        ),
        (
            {
                "tasks": [
                    task(
                        existing_cluster_id="",
                        new_cluster={"spark_version": "14.3.x-scala2.12"},
                    )
                ]
            },
            "14.3.x-scala2.12 is not emulated",
        ),
    ],
)
def test_what_could_not_run_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        tasks_of(settings)


@pytest.mark.parametrize(
    ("results", "holding"),
    [
        (
            [],
            [
                "ALL_SUCCESS",
                "ALL_DONE",
                "NONE_FAILED",
                "AT_LEAST_ONE_SUCCESS",
                "ALL_FAILED",
            ],
        ),
        (
            ["SUCCESS", "SUCCESS"],
            ["ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS"],
        ),
        (
            ["SUCCESS", "FAILED"],
            ["ALL_DONE", "AT_LEAST_ONE_SUCCESS", "AT_LEAST_ONE_FAILED"],
        ),
        (["FAILED", "TIMEDOUT"], ["ALL_DONE", "ALL_FAILED", "AT_LEAST_ONE_FAILED"]),
        (["EXCLUDED"], ["ALL_DONE", "NONE_FAILED"]),
    ],
)
def test_a_task_runs_if_those_before_it_ended_so(
    results: list[str], holding: list[str]
) -> None:
    assert [each for each in RUN_IF if satisfied(each, results)] == sorted(
        holding, key=RUN_IF.index
    )


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ({"parameters": ["a", "{{job.id}}", "{{other}}"]}, {}, ["a", "7", "{{other}}"]),
        ({"parameters": ["a"]}, {"python_params": ["b"]}, ["b"]),
        ({"named_parameters": {"k": "v"}}, {}, ["--k=v"]),
        (
            {"named_parameters": {"k": "v"}},
            {"python_named_params": {"k": "w"}},
            ["--k=w"],
        ),
    ],
)
def test_a_program_gets_its_arguments(
    declared: dict[str, Any], given: dict[str, Any], expected: list[str]
) -> None:
    wheel = {"python_wheel_task": {**WHEEL["python_wheel_task"], **declared}}
    assert parameters_of(wheel, given, {"job.id": "7"}) == expected
