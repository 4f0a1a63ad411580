"""Tests the API process with clients that send too much, too slowly, or nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import Iterator, List, Set

import pytest

from testing.integration.lakekit.test_api import Service, served

MEGABYTES = 97
MOST = 16 << 20
"""A number of bytes: more than the kernel can buffer for both ends of a connection, but
far less than the client tries to send.
"""
PARTS = {
    "url": (b"GET /", b"x" * (1 << 20)),
    "header": (b"GET /healthz HTTP/1.1\r\nA: ", b"x" * (1 << 20)),
    "headers": (b"GET /healthz HTTP/1.1\r\n", b"a: b\r\n" * 174763),
    "blank lines": (b"", b"\r\n" * (1 << 19)),
    "body": (
        b"GET /healthz HTTP/1.1\r\nContent-Length: 101711872\r\n\r\n",
        b"x" * (1 << 20),
    ),
    "chunks": (
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"100000\r\n" + b"x" * (1 << 20) + b"\r\n",
    ),
    "trailers": (
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"a: b\r\n" * 174763,
    ),
    "upgrade": (
        b"GET /healthz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"x" * (1 << 20),
    ),
    "pipeline": (b"", b"GET /healthz HTTP/1.1\r\n\r\n" * 41943),
}


UNFINISHED = [
    (b"", []),
    (b"\r\n", []),
    (b"GET /healthz HTTP/1.1\r\nA", [408]),
    (b"GET /healthz HTTP/1.1\r\n\r\nGET", [200, 408]),
    (b"GET /healthz HTTP/1.1\r\nContent-Length: 2\r\n\r\nx", [200]),
    (b"GET /healthz HTTP/1.1\r\n\r\n", [200]),
]
"""The data that a client sends before it stops sending, and the expected statuses."""


@contextlib.contextmanager
def started(folder: Path, *options: str) -> Iterator[Service]:
    """Run a service during a `with` block. The lake of the service has no tables, and
    the service's log is discarded.
    """
    with served(folder, *options) as service:
        assert service.process.stdout is not None
        reader = threading.Thread(target=service.process.stdout.read)
        reader.start()
        yield service
        service.process.terminate()
        reader.join()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service with the default limits."""
    with started(tmp_path_factory.mktemp("lake")) as service:
        yield service


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    """Return the data that the server sends until it closes the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            answer += part
    return answer


def statuses(answer: bytes) -> List[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def peak_memory(service: Service) -> int:
    """Return the peak memory of the service in bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


def is_healthy(service: Service) -> bool:
    return bool(service.get("/healthz") == {"status": "ok"})


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="reads a process's memory in /proc",
)
@pytest.mark.parametrize(
    ("kind", "possible"),
    [
        ("url", {414}),
        ("header", {431}),
        ("headers", {431}),
        ("blank lines", {431}),
        ("body", {413}),
        # The status is 200 if the server gets the headers before the body, because no
        # endpoint waits for a body.
        ("chunks", {200, 413}),
        ("trailers", {200, 431}),
        ("upgrade", {200}),
        ("pipeline", {200}),
    ],
)
def test_97_mb_on_one_connection_are_not_taken_in(
    kind: str,
    possible: Set[int],
    service: Service,
) -> None:
    start, part = PARTS[kind]
    with connect(service) as connection:
        assert is_healthy(service)
        before, sent = peak_memory(service), 0
        with contextlib.suppress(ConnectionError):
            connection.sendall(start)
            for _ in range(MEGABYTES):
                connection.sendall(part)
                sent += len(part)
                assert is_healthy(service)
        assert sent < MOST and peak_memory(service) - before < MOST
        answered = statuses(read_all(connection))
        assert answered and possible.issuperset(answered)
    assert is_healthy(service)


def test_request_too_large_is_answered_to_a_client_that_sends_it_whole(
    service: Service,
) -> None:
    """The client must get the response even though the server has not read everything
    that the client has sent.
    """
    with contextlib.closing(service.connect()) as connection:
        connection.request("GET", "/healthz", headers={"A": "x" * 60000})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (431, "close")
        assert b"longer than" in answer.read()


def test_idle_connections_make_room_for_requests(tmp_path: Path) -> None:
    options = ["--max-connections", "3"]
    with started(tmp_path, *options) as service, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(service)) for _ in range(3)]
        for connection in idle:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nA: ")
        assert is_healthy(service)
        assert read_all(idle[0]) == b""


def test_requests_that_never_end_are_ended(tmp_path: Path) -> None:
    # The timeouts are long, because a busy machine may need time to send the first data
    # after it has connected.
    options = ["--read-timeout", "10", "--keep-alive-timeout", "10"]
    with started(tmp_path, *options) as service, contextlib.ExitStack() as stack:
        connections = []
        for sent, _ in UNFINISHED:
            connections.append(stack.enter_context(connect(service)))
            connections[-1].sendall(sent)
        answered = [statuses(read_all(connection)) for connection in connections]
        assert answered == [expected for _, expected in UNFINISHED]
        assert is_healthy(service)
