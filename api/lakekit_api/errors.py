"""The errors of the API: HTTP error responses (RFC 9457) and startup errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Dict, Mapping, Optional

import orjson
from starlette.responses import Response

from lakekit.errors import LakekitError

MEDIA_TYPE = "application/problem+json"


class StartupError(LakekitError):
    """The service does not start, because its options or tokens are invalid."""

    exit_code = 2


class AddressInUseError(LakekitError):
    """The service cannot listen on its address."""

    exit_code = 3


class ProblemError(Exception):
    """An HTTP error response. The detail is sent to the client, so the detail must not
    contain a path, a token or SQL.
    """

    def __init__(
        self, status: int, detail: str, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class InvalidParameterError(ProblemError):
    """A query parameter is unknown, or its value is invalid."""

    def __init__(  # noqa: B042  # never pickled
        self, parameter: str, detail: str, status: int = 400
    ) -> None:
        super().__init__(status, detail)
        self.parameter = parameter


def respond(problem: ProblemError, request_id: str) -> Response:
    """Return the error as a problem JSON response."""
    body: Dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id,
    }
    if isinstance(problem, InvalidParameterError):
        body["parameter"] = problem.parameter
    return Response(orjson.dumps(body), problem.status, problem.headers, MEDIA_TYPE)
