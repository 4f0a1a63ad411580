"""Middleware for every request. The middleware adds a request id, an access log,
metrics, support for HEAD, and error responses that contain no traceback.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any, Dict, Optional

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lakekit_api.errors import ProblemError, respond
from lakekit_api.logs import log
from lakekit_api.metrics import Metrics

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""The paths of probes. A cluster requests these paths every few seconds, so a
successful request for such a path is logged at level debug.
"""
LOGGED = ("request_id", "client", "table", "version", "rows")
"""Keys of a request's `state`. The access log contains the values that the endpoints
store under these keys.
"""


class Access:
    """The outermost middleware of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        known = scope.setdefault("state", {})
        known["request_id"] = request_id = (
            given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        )
        status: Optional[int] = None
        is_head = scope["method"] == "HEAD"
        # A HEAD request is handled as GET, but the body of the response is not sent.
        # The method is changed in a copy of the scope, because the server needs the
        # original scope.
        inner = {**scope, "method": "GET"} if is_head else scope

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        self._metrics.in_hand.inc()
        try:
            await self._app(inner, receive, send_with_id)
        except Exception:
            # An unexpected exception is described in the log, but not in the response.
            log(logging.ERROR, "failed", error=True, request_id=request_id)
            if status is None:
                problem = ProblemError(
                    500,
                    "The service failed. Its log has the reason under this"
                    " request's id.",
                )
                await respond(problem, request_id)(scope, receive, send_with_id)
        finally:
            self._metrics.in_hand.dec()
            route = getattr(inner.get("route"), "path", "none")
            seconds = time.perf_counter() - started
            self._answered(scope, route, status or 500, seconds, known)

    def _answered(
        self,
        scope: Scope,
        route: str,
        status: int,
        seconds: float,
        known: Dict[str, Any],
    ) -> None:
        self._metrics.answered(scope["method"], route, status, seconds)
        quiet = route in QUIET and status < 400
        level = (
            logging.DEBUG if quiet else logging.INFO if status < 500 else logging.ERROR
        )
        # The path is logged without the query, because parameter values are private to
        # the client.
        request_fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1000, 2),
        }
        log(
            level,
            "answered",
            **request_fields,
            **{name: known[name] for name in LOGGED if name in known},
        )
