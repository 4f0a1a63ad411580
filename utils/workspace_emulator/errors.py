"""Defines the error responses of the workspace. An error has a status, a Databricks
error code, and a message.
"""

from __future__ import annotations

from collections.abc import Mapping

README = "utils/workspace_emulator/README.md"


class ApiError(Exception):
    """An error response. Any code that a route calls may raise this error.

    Attributes:
        status: the HTTP status.
        code: a Databricks error code, the field `error_code` of the body.
        message: the field `message` of the body.
        headers: additional headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> dict[str, str]:
        """Return the JSON body of the response."""
        return {"error_code": self.code, "message": self.message}


def invalid_parameter(message: str) -> ApiError:
    """Return the error for an invalid value."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def missing_field(name: str) -> ApiError:
    """Return the error for a missing required field."""
    return invalid_parameter(f"Missing required field: {name}")


def malformed(message: str) -> ApiError:
    """Return the error for a body that cannot be parsed."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def not_emulated(what: str) -> ApiError:
    """Return the error for a Databricks feature that is not emulated. The message
    contains the feature, and the path of the README with the list of unsupported
    features.
    """
    return ApiError(
        501,
        "NOT_IMPLEMENTED",
        f"The workspace emulator does not emulate {what}; see {README}",
    )
