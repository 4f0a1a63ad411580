"""What the workspace answers when it refuses: a status, an error code of Databricks'
and a message.
"""

from __future__ import annotations

from collections.abc import Mapping

README = "utils/workspace_emulator/README.md"


class ApiError(Exception):
    """An answer other than success, raised anywhere below a route.

    Attributes:
        status: the HTTP status.
        code: the `error_code` of the body, as Databricks spells it.
        message: the `message` of the body.
        headers: what the answer carries beside it.
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
        """The JSON that clients read."""
        return {"error_code": self.code, "message": self.message}


def invalid_parameter(message: str) -> ApiError:
    """A value that cannot be."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def missing_field(name: str) -> ApiError:
    """A field without which the request means nothing."""
    return invalid_parameter(f"Missing required field: {name}")


def malformed(message: str) -> ApiError:
    """A body that cannot be read."""
    return ApiError(400, "MALFORMED_REQUEST", message)


def not_emulated(what: str) -> ApiError:
    """Something that a workspace has and this one has not; it names itself and where
    the limits are written.
    """
    return ApiError(
        501,
        "NOT_IMPLEMENTED",
        f"The workspace emulator does not emulate {what}; see {README}",
    )
