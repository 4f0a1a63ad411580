"""Errors for missing, invalid, expired or unknown tokens."""

from __future__ import annotations

from ..errors import ApiError


def no_credential() -> ApiError:
    return ApiError(
        401,
        "UNAUTHENTICATED",
        "Credential was not sent or was of an unsupported type for this API.",
    )


def invalid_token() -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", "Invalid access token.")


def expired_token() -> ApiError:
    return ApiError(
        403, "PERMISSION_DENIED", "Invalid access token. The token has expired."
    )


def no_token(token_id: str) -> ApiError:
    return ApiError(
        404, "RESOURCE_DOES_NOT_EXIST", f"Token with ID {token_id} does not exist."
    )
