"""Errors of the Files API."""

from __future__ import annotations

from ..errors import ApiError


def not_found(path: str) -> ApiError:
    return ApiError(
        404, "NOT_FOUND", f"The file or directory being accessed is not found: {path}"
    )


def already_exists(path: str) -> ApiError:
    return ApiError(
        409, "ALREADY_EXISTS", f"The file being created already exists: {path}"
    )


def wrong_kind(path: str) -> ApiError:
    return ApiError(
        409,
        "ALREADY_EXISTS",
        f"The path has the wrong type (file or directory): {path}",
    )


def not_empty(path: str) -> ApiError:
    return ApiError(
        400, "DIRECTORY_NOT_EMPTY", f"The directory being deleted is not empty: {path}"
    )


def outside(path: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_PARAMETER_VALUE",
        f"Only /Volumes/<catalog>/<schema>/<volume> is served: {path}",
    )
