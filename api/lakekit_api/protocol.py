"""Serves HTTP/1.1, and limits the size and duration of requests and the number of
connections.

By contrast, uvicorn's own protocol accepts a request line or a header of any length,
and any number of headers and pipelined requests. The protocol of uvicorn also waits
indefinitely for the rest of a request.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any, Optional

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lakekit_api.errors import ProblemError, respond
from lakekit_api.limits import IdleConnections
from lakekit_api.logs import log
from lakekit_api.metrics import Metrics
from lakekit_api.settings import Settings

PIECE = 16 * 1024
"""The number of bytes that are parsed before the limits are checked again. The event
loop may deliver up to 256 KB at once.
"""
REQUEST_LINE_REST = 64
"""The maximum number of bytes in a request line, not counting the URL: the bytes of the
method, the spaces, the version and the line end.
"""
MAX_PIPELINED = 16
"""The maximum number of requests of one connection that are not completely answered."""
MAX_DISCARDED = 64 * 1024
"""The maximum number of bytes that are read and discarded after a refused request. The
server reads these bytes because many clients read the response only after they have
sent the whole request.
"""


class PipelineFullError(Exception):
    """A client has pipelined more than MAX_PIPELINED requests."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    If a request exceeds a limit, the server sends status 400, 408, 413, 414 or 431 and
    closes the connection. If the response has already started, the server only closes
    the connection.
    """

    def __init__(
        self,
        settings: Settings,
        idle: IdleConnections,
        metrics: Metrics,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self._settings, self._idle, self._metrics = settings, idle, metrics
        self._max_head = settings.max_url + REQUEST_LINE_REST
        self._max_head += settings.max_header_bytes
        self._read_timer: Optional[asyncio.TimerHandle] = None
        self._write_timer: Optional[asyncio.TimerHandle] = None
        self._reading = True  # if False, received data is discarded
        self._closing = False
        self._discarded = 0
        self._unsent = 0
        self._refusal: Optional[ProblemError] = None
        self._in_flight = 0  # requests whose response is not complete
        # State of the request that is being read:
        self._received = 0  # bytes, including blank lines before the request
        self._begun = False
        self._head_done = False
        self._header_bytes = self._body_bytes = 0

    def connection_made(
        self,
        transport: asyncio.Transport,  # type: ignore[override]  # as uvicorn has it
    ) -> None:
        super().connection_made(transport)
        limit = self._settings.max_connections
        if len(self.connections) > limit and not self._idle.evict():
            detail = f"All {limit} connections are in use."
            self._respond(ProblemError(503, detail, {"Retry-After": "1"}))
            self._close()
            return
        self._idle.add(self.transport)
        self._limit_idle_time()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        self._idle.remove(self.transport)
        self._unset_keepalive_if_required()
        self._unset_read_timer()
        self._unset_write_timer()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            if not self._reading:
                self._discard(len(data) - start)
                return
            self._parse(data[start : start + PIECE])
        if self._begun and self._reading and self._read_timer is None:
            self._limit_reading()

    def _parse(self, piece: bytes) -> None:
        self._received += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._stop()  # the upgrade is ignored; the parser cannot continue after it
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, PipelineFullError):
                self._stop()
            elif isinstance(cause, ProblemError):
                self._refuse(cause)
            else:
                self._refuse(ProblemError(400, "The request is not valid HTTP/1.1."))
            return
        # The parser calls no callback for unfinished headers, blank lines and chunk
        # headers, so their bytes are counted here.
        if not self._head_done and self._received > self._max_head:
            limit = self._max_head
            detail = f"The request line and headers are longer than {limit} bytes."
            self._refuse(ProblemError(431, detail))
        elif self._received > self._max_head + self._settings.max_body:
            self._refuse(self._body_too_large())

    def on_message_begin(self) -> None:
        if self._in_flight >= MAX_PIPELINED:
            raise PipelineFullError
        self._unset_keepalive_if_required()
        self._begun = True
        self._header_bytes = self._body_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        limit = self._settings.max_url
        if len(self.url) + len(url) > limit:
            raise ProblemError(414, f"The URL is longer than {limit} bytes.")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        settings = self._settings
        self._header_bytes += len(name) + len(value) + 4  # colon, space, line end
        if self._header_bytes > settings.max_header_bytes:
            limit = settings.max_header_bytes
            raise ProblemError(431, f"The headers are longer than {limit} bytes.")
        if self._head_done:
            return  # a trailer is not a header (RFC 9110, 6.5.1)
        if len(self.headers) == settings.max_headers:
            limit = settings.max_headers
            raise ProblemError(431, f"The request has more than {limit} headers.")
        HttpToolsProtocol.on_header(self, name, value)
        if self.headers[-1][0] == b"content-length" and int(value) > settings.max_body:
            raise self._body_too_large()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_done = True
        self._in_flight += 1
        self._idle.remove(self.transport)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._settings.max_body:
            raise self._body_too_large()
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._begun = self._head_done = False
        self._received = 0
        self._unset_read_timer()
        if self.cycle.response_complete and not self.transport.is_closing():
            # The response was complete before the whole body of the request had
            # arrived, so the connection becomes idle only now.
            self._limit_idle_time()

    def on_response_complete(self) -> None:
        self._in_flight -= 1
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
            return
        # If the next request has begun, the time limit for reading a request applies,
        # not the time limit for idle connections.
        if self._begun:
            self._unset_keepalive_if_required()
        if not self._in_flight:
            self._idle.add(self.transport)
            self._send_refusal()

    def shutdown(self) -> None:
        if self._closing:
            self.transport.abort()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        # close() would wait until the client has read the response.
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._idle.add(self.transport)  # the client does not read its response
        self._limit_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._in_flight:
            self._idle.remove(self.transport)
        if not self._closing:
            self._unset_write_timer()

    def _refuse(self, problem: ProblemError) -> None:
        """Send a problem as the response to the request that is being read. The
        responses to earlier requests are sent first.
        """
        if self._head_done:
            if self.cycle.response_started:
                self._stop()
                return
            self.cycle.disconnected = True  # drops the application's response
            self.cycle.message_event.set()
            if self.pipeline:
                self.pipeline.popleft()
            self._in_flight -= 1
        self._refusal = problem
        self._stop_reading()
        if not self._in_flight:
            self._idle.add(self.transport)
            self._send_refusal()

    def _stop(self) -> None:
        """Stop reading, answer all requests that were read completely, and close the
        connection.
        """
        self._stop_reading()
        if self._in_flight:
            self.cycle.keep_alive = False  # of the last request
        else:
            self._linger()

    def _stop_reading(self) -> None:
        self._reading = False
        self._unset_read_timer()
        self.flow.resume_reading()  # otherwise the next response would resume reading
        self.transport.pause_reading()

    def _send_refusal(self) -> None:
        if self._refusal is not None:
            self._respond(self._refusal)
            self._refusal = None
            self._linger()

    def _respond(self, problem: ProblemError) -> None:
        request_id = uuid.uuid4().hex
        self._metrics.refused.labels(str(problem.status)).inc()
        log(
            logging.WARNING,
            "refused",
            status=problem.status,
            reason=problem.detail,
            request_id=request_id,
        )
        response = respond(problem, request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Connection"] = "close"
        self.transport.write(self._encode(response))

    def _encode(self, response: Response) -> bytes:
        headers = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        body = b"" if self.parser.get_method() == b"HEAD" else bytes(response.body)
        return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", body])

    def _linger(self) -> None:
        """Close the connection in stages (RFC 9112, 9.6).

        An immediate close would reset the connection if the client is still sending.
        The client could then lose the response.
        """
        self._closing = True
        self.transport.resume_reading()
        self.transport.write_eof()
        self._limit_writing()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > MAX_DISCARDED and self._closing:
            self.transport.abort()

    def _close(self) -> None:
        """Close the connection when all data is sent or the client stops reading."""
        self._closing = True
        self.transport.close()
        self._limit_writing()

    def _limit_idle_time(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _limit_reading(self) -> None:
        limit = self._settings.read_timeout
        self._read_timer = self.loop.call_later(limit, self._read_timed_out)

    def _read_timed_out(self) -> None:
        self._read_timer = None
        if self.flow.read_paused:  # the server paused reading
            self._limit_reading()
        elif not self.transport.is_closing():
            limit = self._settings.read_timeout
            detail = f"The request did not arrive within {limit:g} s."
            self._refuse(ProblemError(408, detail))

    def _limit_writing(self) -> None:
        self._unset_write_timer()
        self._unsent = self.transport.get_write_buffer_size()
        limit = self._settings.write_timeout
        self._write_timer = self.loop.call_later(limit, self._write_timed_out)

    def _write_timed_out(self) -> None:
        if 0 < self.transport.get_write_buffer_size() < self._unsent:
            self._limit_writing()  # slow, but still reading
        else:
            self.transport.abort()

    def _unset_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _unset_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _body_too_large(self) -> ProblemError:
        return ProblemError(
            413, f"The body is longer than {self._settings.max_body} bytes."
        )
