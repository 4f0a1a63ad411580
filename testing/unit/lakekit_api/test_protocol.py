from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
import uvicorn
from uvicorn.server import ServerState

from lakekit_api.limits import IdleConnections
from lakekit_api.metrics import Metrics
from lakekit_api.protocol import MAX_DISCARDED, MAX_PIPELINED, LimitedProtocol
from lakekit_api.settings import Settings

GET = b"GET /rows HTTP/1.1\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\n\r\n"
CHUNKED = b"GET /rows HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL = Settings(
    max_url=64,
    max_headers=5,
    max_header_bytes=256,
    max_body=100,
    read_timeout=10.0,
    write_timeout=30.0,
    keep_alive_timeout=75,
    max_connections=3,
)


class ManualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Run all callbacks that are due now, and all that these callbacks schedule."""
        self.run_until_complete(_turns(MAX_PIPELINED * 2))


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Wire(asyncio.Transport):
    """The server's end of a connection. The class records what the server does with the
    connection.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.ended = self.closing = self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Connection:
    """A connection of a client, with the protocol object that serves it."""

    def __init__(self, server: Server) -> None:
        self.server, self.wire = server, Wire()
        self.protocol = LimitedProtocol(
            server.settings,
            server.idle,
            server.metrics,
            config=server.config,
            server_state=server.state,
            app_state={},
            _loop=server.loop,
        )
        self.call(self.protocol.connection_made, self.wire)

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.server.loop.call_soon(function, *arguments)
        self.server.loop.settle()

    def send(self, *parts: bytes) -> None:
        """Send each part, and then run all pending callbacks."""
        for part in parts:
            self.call(self.protocol.data_received, part)

    def stream(self, data: bytes, size: int) -> None:
        """Send data in many small parts."""
        for start in range(0, len(data), size):
            part = data[start : start + size]
            self.server.loop.call_soon(self.protocol.data_received, part)
        self.server.loop.settle()

    @property
    def statuses(self) -> List[int]:
        found = re.findall(rb"HTTP/1\.1 (\d+) ", self.wire.written)
        return [int(each) for each in found]

    @property
    def ended(self) -> bool:
        """Return whether the server has closed its end of the connection."""
        return self.wire.ended or self.wire.closing


class Server:
    """The state that all connections of a service share, and a test application.

    The application answers a request to /held when the test releases the request. The
    application answers a request to /body after it has read the body, and any other
    request immediately.
    """

    def __init__(self, loop: ManualLoop, settings: Settings) -> None:
        self.loop, self.settings = loop, settings
        self.idle, self.metrics, self.state = (
            IdleConnections(),
            Metrics(),
            ServerState(),
        )
        self.config = uvicorn.Config(
            self.app,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=settings.keep_alive_timeout,
        )
        self.scopes: List[Dict[str, Any]] = []
        self.messages: List[str] = []
        self.gate: Optional[asyncio.Semaphore] = None

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/held":
            self.gate = self.gate or asyncio.Semaphore(0)
            await self.gate.acquire()
        while scope["path"] == "/body":
            message = await receive()
            self.messages.append(message["type"])
            if not message.get("more_body"):
                break
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"2")],
            }
        )
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> Connection:
        return Connection(self)

    def release(self, held: int = 1) -> None:
        assert self.gate is not None
        for _ in range(held):
            self.loop.call_soon(self.gate.release)
        self.loop.settle()

    def wait(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.settle()


@pytest.fixture
def server() -> Iterator[Server]:
    loop = ManualLoop()
    yield Server(loop, SMALL)
    while tasks := asyncio.all_tasks(loop):  # a task may still be sending an error
        for task in tasks:
            task.cancel()
        loop.settle()
    loop.close()


@pytest.fixture
def connection(server: Server) -> Connection:
    return server.connect()


def head(*headers: bytes, url: bytes = b"/rows") -> bytes:
    return b"\r\n".join([b"GET " + url + b" HTTP/1.1", *headers, b"", b""])


@pytest.mark.parametrize(
    "request_bytes",
    [
        head(url=b"/" + b"x" * 63),
        head(*[b"a: b"] * 5),
        head(b"a: " + b"x" * 251),
        head(b"Content-Length: 100") + b"x" * 100,
        CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n",
    ],
    ids=["url", "headers", "header bytes", "body", "chunked body"],
)
def test_request_at_the_limit_is_answered(
    request_bytes: bytes,
    connection: Connection,
) -> None:
    connection.send(request_bytes, GET)
    assert connection.statuses == [200, 200] and not connection.ended


@pytest.mark.parametrize("size", [100_000, 7], ids=["one read", "small reads"])
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head(url=b"/" + b"x" * 64), 414),
        (b"GET /" + b"x" * 5000, 414),
        (head(*[b"a: b"] * 6), 431),
        (head(b"a: " + b"x" * 252), 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\na:" + b" " * 20_000, 431),
        (b"GET" + b" " * 20_000, 431),
        (b"\r\n" * 10_000, 431),
        (head(b"Content-Length: 101"), 413),
        (head(b"Content-Length: 101").replace(b"1.1", b"1.0"), 413),
        (head(b"Expect: 100-continue", b"Content-Length: 101"), 413),
        (b"BREW / HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (head(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
    ],
)
def test_request_beyond_a_limit_is_refused_before_the_application(
    request_bytes: bytes,
    status: int,
    size: int,
    connection: Connection,
) -> None:
    connection.stream(request_bytes, size)
    assert connection.statuses == [status] and connection.wire.ended
    assert not connection.server.scopes and not connection.wire.paused
    refused = connection.server.metrics.text().decode()
    assert f'lakekit_api_refused_total{{status="{status}"}} 1.0' in refused


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"65\r\n" + b"x" * 101, 413),
        (b"1;" + b"x" * 20_000, 413),
        (b"1\r\nx\r\n" * 3000, 413),
        (b"0\r\n" + b"a: b\r\n" * 50, 431),
        (b"0\r\na: " + b"x" * 20_000, 413),
        (b"no chunk", 400),
    ],
    ids=["body", "chunk extension", "chunks", "trailers", "trailer", "invalid"],
)
def test_chunked_body_beyond_a_limit_is_refused_instead_of_answered(
    rest: bytes,
    status: int,
    connection: Connection,
) -> None:
    connection.send(CHUNKED + rest)
    assert connection.statuses == [status] and connection.wire.ended


@pytest.mark.parametrize("rest", [b"65\r\n" + b"x" * 101, b"no chunk"])
def test_answered_request_whose_body_fails_gets_no_second_answer(
    rest: bytes,
    connection: Connection,
) -> None:
    connection.send(CHUNKED)
    assert connection.statuses == [200] and not connection.ended
    connection.send(rest)
    assert connection.statuses == [200] and connection.wire.ended


def test_refusal_is_a_problem_with_the_request_id_of_the_log(
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection.send(head(url=b"/" + b"x" * 64))
    headers, _, body = connection.wire.written.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert problem["status"] == 414
    assert problem["detail"] == "The URL is longer than 64 bytes."
    assert b"content-type: application/problem+json" in headers
    assert b"connection: close" in headers
    assert f"x-request-id: {problem['request_id']}".encode() in headers
    [record] = [each for each in caplog.records if each.getMessage() == "refused"]
    said = record.fields  # type: ignore[attr-defined]  # logs.log adds it
    assert (said["status"], said["request_id"]) == (414, problem["request_id"])


def test_refusal_of_head_has_no_body(connection: Connection) -> None:
    connection.send(b"HEAD /" + b"x" * 64)
    assert connection.statuses == [414]
    assert connection.wire.written.endswith(b"\r\n\r\n")


def test_refusal_comes_after_the_answers_to_earlier_requests(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(HELD + HELD + CHUNKED + b"65\r\n" + b"x" * 2 * MAX_DISCARDED)
    assert connection.statuses == [] and connection.wire.paused
    server.release()
    assert connection.statuses == [200] and connection.wire.paused
    server.release()
    assert connection.statuses == [200, 200, 413] and connection.wire.ended
    assert [scope["path"] for scope in server.scopes] == ["/held", "/held"]


def test_refusal_ends_an_endpoint_that_reads_the_body(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(CHUNKED.replace(b"/rows", b"/body"), b"1\r\nx\r\n")
    assert server.messages == ["http.request"]
    connection.send(b"no chunk")
    assert server.messages == ["http.request", "http.disconnect"]
    assert connection.statuses == [400] and connection.wire.ended


def test_many_requests_on_a_connection_are_answered(connection: Connection) -> None:
    connection.send(*[GET] * 50)
    assert connection.statuses == [200] * 50 and not connection.ended


def test_long_header_in_one_read_with_a_request_is_refused(
    connection: Connection,
) -> None:
    connection.send(GET + b"GET / HTTP/1.1\r\na: " + b"x" * 40_000)
    assert connection.statuses == [200, 431] and connection.wire.ended


def test_refusal_after_an_answer_that_closes_is_not_sent(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(HELD[:-2] + b"Connection: close\r\n\r\n", b"x" * 20_000)
    server.release()
    assert connection.statuses == [200] and connection.wire.closing


def test_trailer_is_not_a_header(connection: Connection) -> None:
    connection.send(CHUNKED + b"0\r\nAuthorization: x\r\n\r\n" + GET)
    assert connection.statuses == [200, 200]
    headers = connection.server.scopes[0]["headers"]
    assert [name for name, _ in headers] == [b"transfer-encoding"]


@pytest.mark.parametrize(
    "protocol",
    [b"websocket", b"h2c", b"h2c\r\nContent-Length: 2"],
)
def test_upgrade_is_ignored_and_what_follows_is_not_read(
    protocol: bytes,
    connection: Connection,
) -> None:
    connection.send(head(b"Connection: Upgrade", b"Upgrade: " + protocol))
    assert connection.statuses == [200] and connection.wire.closing
    connection.send(GET)
    assert connection.statuses == [200]


def test_pipeline_is_bounded_and_what_fits_is_answered(connection: Connection) -> None:
    connection.send(GET * (MAX_PIPELINED * 3))
    assert connection.statuses == [200] * MAX_PIPELINED and connection.wire.closing


def test_client_that_sends_on_after_a_refusal_is_cut_off(
    connection: Connection,
) -> None:
    connection.send(b"BREW / HTTP/1.1\r\n\r\n", b"x" * MAX_DISCARDED)
    assert connection.wire.ended and not connection.wire.closing
    connection.send(b"x")
    assert connection.wire.aborted and connection.statuses == [400]


@pytest.mark.parametrize(
    "part",
    [b"GET /", b"GET / HTTP/1.1\r\na: b", b"GET / HTTP/1.1\r\n"],
)
def test_request_that_does_not_arrive_in_time_gets_408(
    part: bytes,
    server: Server,
    connection: Connection,
) -> None:
    connection.send(GET)
    server.wait(60)
    connection.send(part)
    server.wait(9.9)
    connection.send(b"x")  # a single byte does not extend the time limit
    assert connection.statuses == [200]
    server.wait(0.2)
    assert connection.statuses == [200, 408] and connection.wire.ended


@pytest.mark.parametrize("first", [b"", b"\r\n"])
def test_connection_without_a_request_is_closed_without_an_answer(
    first: bytes,
    server: Server,
    connection: Connection,
) -> None:
    server.wait(74)
    connection.send(first)
    assert not connection.ended
    server.wait(1.1)
    assert connection.wire.aborted and connection.statuses == []


def test_body_that_does_not_arrive_in_time_closes(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(head(b"Content-Length: 9"), b"x")
    server.wait(10.1)
    assert connection.statuses == [200] and connection.wire.ended


def test_body_that_does_not_arrive_before_the_answer_gets_408(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(HELD[:-2] + b"Content-Length: 9\r\n\r\n")
    server.wait(10.1)
    assert connection.statuses == [408] and connection.wire.ended
    server.release()
    assert connection.statuses == [408]


def test_closing_connection_is_not_waited_for(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(head(b"Connection: close", b"Content-Length: 9"))
    server.wait(10.1)
    assert connection.statuses == [200]
    assert connection.wire.closing and not connection.wire.ended


def test_time_to_answer_is_not_time_to_read(
    server: Server,
    connection: Connection,
) -> None:
    # Reading is paused in the middle of the third request.
    connection.send(HELD + GET + b"GET")
    server.wait(1000)
    assert connection.statuses == []
    server.release()
    connection.send(GET[3:])
    server.wait(11)
    assert connection.statuses == [200, 200, 200] and not connection.ended


@pytest.mark.parametrize(
    "parts",
    [[GET], [head(b"Content-Length: 2") + b"x", b"x"], [GET, b"\r\n"]],
    ids=["request", "body after the answer", "blank line"],
)
def test_idle_connection_is_closed(
    parts: List[bytes],
    server: Server,
    connection: Connection,
) -> None:
    connection.send(*parts)
    server.wait(74)
    connection.send(b"\r\n")
    assert not connection.ended
    server.wait(1.1)
    assert connection.wire.aborted and connection.statuses == [200]


def test_idle_time_ends_where_a_request_begins(server: Server) -> None:
    server.settings = dataclasses.replace(SMALL, read_timeout=100.0)
    connection = server.connect()
    connection.send(HELD + b"GET")
    server.release()
    server.wait(76)
    connection.send(b" /rows HTTP/1.1\r\n\r\n")
    assert connection.statuses == [200, 200] and not connection.ended


def test_client_that_stops_reading_is_cut_off(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(HELD)
    connection.wire.unsent = 1000
    connection.call(connection.protocol.pause_writing)
    server.wait(29)
    assert not connection.ended
    connection.wire.unsent = 999  # the client reads slowly
    server.wait(1.1)
    assert not connection.ended
    server.wait(30)
    assert connection.wire.aborted


def test_client_that_reads_again_stays(server: Server, connection: Connection) -> None:
    connection.send(HELD)
    connection.call(connection.protocol.pause_writing)
    connection.call(connection.protocol.resume_writing)
    server.wait(31)
    assert not connection.ended


@pytest.mark.parametrize(
    "request_bytes",
    [head(b"Connection: close"), b"BREW / HTTP/1.1\r\n\r\n"],
    ids=["closed", "refused"],
)
@pytest.mark.parametrize("slow", [False, True])
def test_closing_connection_is_cut_off_if_its_answer_is_not_read(
    request_bytes: bytes,
    slow: bool,
    server: Server,
    connection: Connection,
) -> None:
    connection.send(request_bytes)
    if slow:
        connection.call(connection.protocol.pause_writing)
        connection.call(connection.protocol.resume_writing)
    assert connection.ended and not connection.wire.aborted
    server.wait(31)
    assert connection.wire.aborted


def test_shutdown_does_not_wait_for_a_client_that_was_refused(
    connection: Connection,
) -> None:
    connection.send(CHUNKED + b"no chunk")
    assert connection.statuses == [400] and not connection.wire.closing
    connection.call(connection.protocol.shutdown)
    assert connection.wire.aborted


def test_shutdown_lets_a_request_in_flight_end(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(HELD)
    connection.call(connection.protocol.shutdown)
    assert not connection.ended
    server.release()
    assert connection.statuses == [200] and connection.wire.closing


def test_lost_connection_leaves_no_timer(
    server: Server,
    connection: Connection,
) -> None:
    connection.send(GET, b"GET")
    connection.call(connection.protocol.pause_writing)
    connection.call(connection.protocol.connection_lost, OSError())
    server.wait(1000)
    assert not connection.ended and not server.idle.evict()


def test_new_connection_replaces_the_one_that_is_idle_longest(server: Server) -> None:
    connections = [server.connect() for _ in range(3)]
    connections[0].send(GET)  # answered, and therefore idle again
    # A connection whose request is incomplete is idle, too.
    connections[1].send(b"GET / HTTP/1.1\r\na: b")
    new = server.connect()
    assert [each.wire.aborted for each in connections] == [False, True, False]
    new.send(GET)
    assert new.statuses == [200]


def test_connection_whose_request_was_refused_is_replaced(server: Server) -> None:
    refused = [server.connect() for _ in range(3)]
    for each in refused:
        each.send(HELD[:-2] + b"Content-Length: 9\r\n\r\n")
    server.wait(10.1)
    assert [each.statuses for each in refused] == [[408]] * 3
    new = server.connect()
    new.send(GET)
    assert new.statuses == [200] and refused[0].wire.aborted


def test_connection_is_refused_while_all_are_busy(server: Server) -> None:
    busy = [server.connect() for _ in range(3)]
    for each in busy:
        each.send(HELD)
    refused = server.connect()
    assert refused.statuses == [503] and b"retry-after: 1" in refused.wire.written
    assert refused.wire.closing
    server.release(3)
    assert [each.statuses for each in busy] == [[200]] * 3
    answered = server.connect()
    answered.send(GET)
    assert answered.statuses == [200] and busy[0].wire.aborted


def test_connection_of_a_client_that_reads_nothing_is_replaced(server: Server) -> None:
    stalled = [server.connect() for _ in range(3)]
    for each in stalled:
        each.send(HELD)
        each.call(each.protocol.pause_writing)
    stalled[0].call(stalled[0].protocol.resume_writing)
    new = server.connect()
    new.send(GET)
    assert new.statuses == [200]
    assert [each.wire.aborted for each in stalled] == [False, True, False]
