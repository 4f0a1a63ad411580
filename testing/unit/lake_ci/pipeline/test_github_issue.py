"""All failed nightly runs are reported in one issue. Here, GitHub is a fake."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lake_ci.errors import LakeCiError
from lake_ci.pipeline import github_issue


class GitHub(ThreadingHTTPServer):
    """A fake GitHub that stores issues and records requests. If `code` is not 200, all
    requests fail.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issues: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.code = 200

    @property
    def env(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server_port}"
        return {
            "GITHUB_API_URL": address,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "4711",
            "GITHUB_TOKEN": "a-token",
        }


class Handler(BaseHTTPRequestHandler):
    """Lists issues, opens issues, and adds comments."""

    server: GitHub

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.requests.append((self.command, self.path, body))
        reply: object = {"html_url": f"https://github.example{self.path}"}
        if self.command == "GET":
            reply = self.server.issues
        authorized = self.headers.get("Authorization") == "Bearer a-token"
        self.send_response(self.server.code if authorized else 401)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_first_failure_opens_an_issue_that_names_the_run(github: GitHub) -> None:
    assert (
        github_issue.tell("# 1 failed", github.env)
        == "https://github.example/repos/o/r/issues"
    )
    assert github.requests[1] == (
        "POST",
        "/repos/o/r/issues",
        {
            "title": "The nightly run failed",
            "body": "https://github.example/o/r/actions/runs/4711\n\n# 1 failed",
        },
    )


def test_a_further_failure_is_a_comment_on_the_open_issue(github: GitHub) -> None:
    github.issues = [
        {"title": "something else", "number": 1},
        {"title": github_issue.TITLE, "number": 2, "pull_request": {}},
        {"title": github_issue.TITLE, "number": 3},
    ]
    github_issue.tell("# 1 failed", github.env)
    assert [request[:2] for request in github.requests[1:]] == [
        ("POST", "/repos/o/r/issues/3/comments")
    ]


def test_a_text_too_long_for_an_issue_is_cut_at_a_line(github: GitHub) -> None:
    github_issue.tell("a line\n" * 20_000, github.env)
    body = github.requests[1][2]["body"]
    assert len(body) < 65_536
    assert body.endswith("a line\n\n(cut)")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            403,
            r"GitHub answered 403 to GET .*/issues \(the job needs `issues: write`\)",
        ),
        (500, "GitHub answered 500"),
    ],
)
def test_a_refusal_is_an_error_with_what_to_do(
    github: GitHub, code: int, words: str
) -> None:
    github.code = code
    with pytest.raises(LakeCiError, match=words):
        github_issue.tell("text", github.env)


def test_a_server_that_is_not_there_is_an_error(github: GitHub) -> None:
    env = {**github.env, "GITHUB_API_URL": "http://127.0.0.1:1"}
    with pytest.raises(
        LakeCiError, match="the issue on GitHub could not be written: .*refused"
    ):
        github_issue.tell("text", env)
