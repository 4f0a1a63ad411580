"""What a client is told when it gets no rows (RFC 9457 problems), and why a service
does not start.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Dict, Mapping, Optional

import orjson
from starlette.responses import Response

from lakekit.errors import LakekitError

MEDIA_TYPE = "application/problem+json"


class StartupError(LakekitError):
    """The service does not start as asked."""

    exit_code = 2


class AddressInUseError(LakekitError):
    """The address cannot be listened on."""

    exit_code = 3


class ProblemError(Exception):
    """An answer that is no success. The detail is for the client: no path, no token, no
    SQL in it.
    """

    def __init__(
        self, status: int, detail: str, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class InvalidParameterError(ProblemError):
    """A parameter that there is not, or whose value means nothing."""

    def __init__(  # noqa: B042  # never pickled
        self, parameter: str, detail: str, status: int = 400
    ) -> None:
        super().__init__(status, detail)
        self.parameter = parameter


def respond(problem: ProblemError, request_id: str) -> Response:
    """The problem as an answer."""
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
