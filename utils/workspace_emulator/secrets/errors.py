"""Errors of the secrets API."""

from __future__ import annotations

from ..errors import ApiError


def no_scope(scope: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Scope {scope} does not exist!")


def scope_exists(scope: str) -> ApiError:
    return ApiError(400, "RESOURCE_ALREADY_EXISTS", f"Scope {scope} already exists!")


def no_secret(scope: str, key: str) -> ApiError:
    return ApiError(
        404, "RESOURCE_DOES_NOT_EXIST", f"Failed to get secret {key} for scope {scope}."
    )


def no_acl(scope: str, principal: str) -> ApiError:
    return ApiError(
        404,
        "RESOURCE_DOES_NOT_EXIST",
        f"Failed to get ACL of {principal} for scope {scope}.",
    )
