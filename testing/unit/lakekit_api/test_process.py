"""Tests the service in a separate process. In one test, nobody reads the service's
logs; in another test, clients connect and send nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

ROOT = Path(__file__).parents[3]
REQUESTS = 600
"""A number of requests whose log lines do not fit into the buffer of a pipe."""


class Service:
    """A running service. The standard output and error of the service are pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self.port = int(json.loads(process.stdout.readline())["port"])

    def get(self, connection: http.client.HTTPConnection, path: str) -> int:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)


@pytest.fixture
def service(lake: Path) -> Iterator[Service]:
    folders = [ROOT / "utils", ROOT / "api", ROOT]
    command = [sys.executable, "-m", "lakekit_api", "serve", "--no-auth", "--port=0"]
    command += ["--declarations=testing.unit.lakekit_api.trips:TABLES"]
    command += [f"--lake={lake}", "--max-connections=40", "--timeout=60"]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield Service(process)
        process.kill()


def test_log_reader_that_stops_stops_nothing(service: Service) -> None:
    with contextlib.closing(service.connect()) as connection:
        path = f"/gold/{'x' * 400}"
        statuses = {service.get(connection, path) for _ in range(REQUESTS)}
        assert statuses == {404}
        assert service.get(connection, "/gold/trips") == 200
    service.process.terminate()
    assert service.process.wait(60) == 0


def test_silent_clients_lock_nobody_out(service: Service) -> None:
    address = ("127.0.0.1", service.port)
    silent: List[socket.socket] = []
    for part in (
        b"",
        b"GET /gold/trips HT",
        b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9,
    ):
        for _ in range(60):
            silent.append(socket.create_connection(address, 60))
            # The service may already have closed the connection.
            with contextlib.suppress(OSError):
                silent[-1].sendall(part)
        with contextlib.closing(service.connect()) as connection:
            assert service.get(connection, "/healthz") == 200
            assert service.get(connection, "/gold/trips") == 200
    for each in silent:
        each.close()
