"""How the service in a container is asked, and waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lake_ci.checks.docker.api_smoke_test import MemoryLimit, Token, get, until
from lake_ci.checks.docker.smoke_tests import Unmet
from lake_ci.model.results import Status
from lake_ci.runner.check import Workbench


class Answers(BaseHTTPRequestHandler):
    """200 to the bearer of a token, 401 to others, and half an answer at /half."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer secret"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        body = json.dumps({"rows": [1]})
        self.wfile.write((body[:5] if self.path == "/half" else body).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


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


class Containers(MemoryLimit):
    """The exercise, with containers that end as they are told to."""

    def __init__(self, *ends: str) -> None:
        self.ends = list(ends)
        self.removed = 0

    def token(self, folder: Path) -> Token:
        return Token("secret", folder / "tokens.env")

    def start(self, token: Token, bench: Workbench, *options: str) -> str:
        return "container"

    def ask(self, *arguments: str) -> str:
        self.removed += arguments[0] == "rm"
        return "false " + self.ends.pop(0) if arguments[0] == "inspect" else ""


def test_a_kill_whose_reason_the_engine_lost_is_tried_again(
    bench: Workbench, tmp_path: Path
) -> None:
    containers = Containers("137 false", "137 true")
    assert containers.exercise(tmp_path, bench).status is Status.SUCCESS
    assert containers.removed == 2


def test_a_kill_that_never_is_by_the_limit_is_a_failure(
    bench: Workbench, tmp_path: Path
) -> None:
    with pytest.raises(Unmet, match="killed, 4 times, and never by the limit"):
        Containers(*["137 false"] * 4).exercise(tmp_path, bench)
