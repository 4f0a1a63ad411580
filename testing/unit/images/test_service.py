"""Tests the code that sends requests to a service in a container, and waits for the
container's end.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from testing.images.containers import until
from testing.images.service import End, decisive, get


class Answers(BaseHTTPRequestHandler):
    """Answers with 200 if the token is valid, and with 401 otherwise. At /half, the
    response is incomplete.
    """

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer secret"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        body = json.dumps({"rows": [1]})
        self.wfile.write((body[:5] if self.path == "/half" else body).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_is_its_status_and_its_json(url: str) -> None:
    assert get(f"{url}/table", "secret") == (200, {"rows": [1]})
    assert get(f"{url}/table") == (401, None)


def test_half_an_answer_is_none(url: str) -> None:
    assert get(f"{url}/half", "secret") == (0, None)


def test_nobody_there_is_no_answer(url: str) -> None:
    assert get("http://127.0.0.1:9/", "secret") == (0, None)


def test_waiting_ends_when_it_is_true_or_when_time_is_over() -> None:
    left = [False, False, True]
    assert until(lambda: left.pop(0), 60)
    assert left == []
    assert not until(lambda: False, 0)


KILLED, BY_LIMIT, FAILED = End(137, False), End(137, True), End(1, False)


@pytest.mark.parametrize(
    ("ends", "expected", "left"),
    [
        ([KILLED, BY_LIMIT, KILLED], BY_LIMIT, 1),
        ([KILLED, FAILED, BY_LIMIT], FAILED, 1),
        ([None, BY_LIMIT], None, 1),
        ([KILLED, KILLED], KILLED, 0),
    ],
)
def test_only_a_kill_whose_reason_the_engine_lost_is_tried_again(
    ends: list[End | None], expected: End | None, left: int
) -> None:
    tries = iter(ends)
    assert decisive(tries) == expected
    assert len(list(tries)) == left
