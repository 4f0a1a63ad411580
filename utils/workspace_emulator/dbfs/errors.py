"""Errors of DBFS."""

from __future__ import annotations

from ..errors import ApiError

MAX_BLOCK = 1024 * 1024


def does_not_exist(path: str) -> ApiError:
    return ApiError(
        404, "RESOURCE_DOES_NOT_EXIST", f"No file or directory exists on path {path}."
    )


def already_exists(path: str) -> ApiError:
    return ApiError(
        400,
        "RESOURCE_ALREADY_EXISTS",
        f"A file or directory already exists at the input path {path}.",
    )


def is_a_directory(path: str) -> ApiError:
    return ApiError(
        400, "INVALID_PARAMETER_VALUE", f"Cannot read or write a directory: {path}"
    )


def not_empty(path: str) -> ApiError:
    return ApiError(
        400,
        "IO_ERROR",
        f"Directory {path} is not empty; set recursive to true to delete it and its"
        " contents.",
    )


def unknown_handle(handle: int) -> ApiError:
    return ApiError(
        404, "RESOURCE_DOES_NOT_EXIST", f"No stream exists for handle {handle}."
    )


def block_too_large(size: int) -> ApiError:
    return ApiError(
        400,
        "MAX_BLOCK_SIZE_EXCEEDED",
        f"The block of {size} bytes is larger than {MAX_BLOCK} bytes.",
    )


def read_too_large(size: int) -> ApiError:
    return ApiError(
        400,
        "MAX_READ_SIZE_EXCEEDED",
        f"The length of {size} bytes is larger than {MAX_BLOCK} bytes.",
    )
