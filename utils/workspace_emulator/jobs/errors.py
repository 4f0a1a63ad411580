"""Errors of the jobs API."""

from __future__ import annotations

from ..errors import ApiError


def no_job(job_id: int) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Job {job_id} does not exist.")


def no_run(run_id: int) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")


def many_tasks() -> ApiError:
    message = (
        "Retrieving the output of runs with multiple tasks is not supported."
        " Please retrieve the output of each individual task run instead."
    )
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)
