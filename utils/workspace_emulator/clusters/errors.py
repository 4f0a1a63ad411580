"""Errors of the clusters API."""

from __future__ import annotations

from ..errors import ApiError


def does_not_exist(cluster_id: str) -> ApiError:
    return ApiError(
        400, "INVALID_PARAMETER_VALUE", f"Cluster {cluster_id} does not exist"
    )


def unexpected_state(cluster_id: str, state: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_STATE",
        f"Cluster {cluster_id} is in unexpected state {state.capitalize()}.",
    )
