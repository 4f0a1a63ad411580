"""Errors of the workspace API."""

from __future__ import annotations

from ..errors import ApiError


def does_not_exist(path: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")


def already_exists(path: str) -> ApiError:
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", f"Path ({path}) already exists.")


def not_empty(path: str) -> ApiError:
    return ApiError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty")


def is_a_directory(path: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Path ({path}) is a directory")
