"""Before a token is used, white space around it is removed, and an invalid token is
rejected. A token is never shown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lake_ci.deploy import __main__ as command
from lake_ci.deploy.bundle import Target
from lake_ci.deploy.connect import connect, same_host
from lake_ci.deploy.errors import NoWorkspaceError, WorkspaceError
from lake_ci.deploy.events import Events
from lake_ci.deploy.retries import Clock
from lake_ci.system.redaction import Redactor

ROOT = Path(__file__).resolve().parents[4]
TOKEN = "dapi0123456789abcdef"


class Server(ThreadingHTTPServer):
    """A workspace that rejects every token. The response repeats the token.

    Attributes:
        headers: the authentication headers of all requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers: list[str | None] = []
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.server.requests += 1
        header = self.headers.get("Authorization")
        if header is not None:
            self.server.headers.append(header)
        body = json.dumps(
            {"error_code": "UNAUTHENTICATED", "message": f"bad: {header!r}"}
        ).encode()
        self.send_response(401 if header else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(
            target=made.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the environment variables for the workspace, and remove those of the user."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "ARM_", "GOOGLE_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("DATABRICKS_AUTH_TYPE", "pat")
    return monkeypatch


@pytest.mark.parametrize(
    "token",
    ["dapi0123\n456789abcdef", "dapi 0123456789", "dapi0123456789…", "dapi123"],
)
def test_connect_refuses_a_token_that_cannot_be_one_before_it_is_sent(
    server: Server, here: pytest.MonkeyPatch, target: Target, clock: Clock, token: str
) -> None:
    here.setenv("DATABRICKS_TOKEN", token)
    events = Events(lambda line: None)
    with pytest.raises(
        NoWorkspaceError, match="token for trial is not 8 or more ASCII"
    ) as caught:
        connect(replace(target, host=server.url), os.environ, events, clock)
    assert token not in str(caught.value)
    assert server.headers == []


@pytest.mark.parametrize("source", ["variable", "profile", "default profile"])
def test_another_host_is_refused_before_it_is_contacted(
    server: Server,
    here: pytest.MonkeyPatch,
    target: Target,
    clock: Clock,
    tmp_path: Path,
    source: str,
) -> None:
    if source != "variable":
        here.delenv("DATABRICKS_HOST")
        name = "DEFAULT" if source == "default profile" else "mine"
        file = tmp_path / "databrickscfg"
        file.write_text(f"[{name}]\nhost = {server.url}\ntoken = {TOKEN}\n")
        here.setenv("DATABRICKS_CONFIG_FILE", str(file))
        profile = None if source == "default profile" else name
        target = replace(target, profile=profile)
    other = replace(target, host="https://lake.example.com")
    with pytest.raises(NoWorkspaceError, match="but trial is in https://lake"):
        connect(other, os.environ, Events(lambda line: None), clock)
    assert server.requests == 0


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("https://lake.example.com", True),
        ("https://LAKE.example.com/", True),
        ("lake.example.com", True),
        ("https://lake.example.com:443/", True),
        ("https://lake.example.com/?o=123", True),
        ("https://lake.example.com/?o=7", False),
        ("https://lake.example.com:8443", False),
        ("http://lake.example.com", False),
        ("https://lake.example.com.evil.com", False),
        ("https://lake.example.com@evil.com", False),
        ("https://lake.example.com:port", False),
        ("https://evil.com/lake.example.com", False),
        ("", False),
    ],
)
def test_hosts_are_compared_by_what_they_address(one: str, same: bool) -> None:
    assert same_host(one, "https://lake.example.com?o=123") is same


def test_connect_hides_the_token_in_all_that_follows(
    server: Server, here: pytest.MonkeyPatch, target: Target, clock: Clock
) -> None:
    here.setenv("DATABRICKS_TOKEN", TOKEN)
    lines: list[str] = []
    events = Events(lines.append)
    with pytest.raises(WorkspaceError), events.step("workspace"):
        connect(replace(target, host=server.url), os.environ, events, clock)
    assert server.headers[0] == f"Bearer {TOKEN}"
    assert "Bearer [hidden]" in lines[-1] and TOKEN not in "".join(lines)


def test_line_break_after_a_token_is_removed_and_the_token_redacted(
    server: Server, here: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here.setenv("DATABRICKS_TOKEN", f"{TOKEN}\n")
    here.setenv("PYTHONPATH", str(ROOT / "utils"))
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    bundle = (ROOT / "databricks.yml").read_text(encoding="utf-8")
    lines = [
        f"      host: {server.url}" if "host:" in line else line
        for line in bundle.splitlines()
    ]
    (tmp_path / "databricks.yml").write_text("\n".join(lines), encoding="utf-8")
    argv = [sys.executable, "-m", "lake_ci.deploy", "--environment", "dev", "--status"]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert set(server.headers) == {f"Bearer {TOKEN}"}
    assert "Bearer [hidden]" in done.stdout
    assert "0123456789abcdef" not in done.stdout + done.stderr


def test_an_unexpected_error_ends_as_a_result_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(f"Invalid header value {TOKEN.encode()!r}")

    monkeypatch.setattr(command, "_do", fail)
    lines: list[str] = []
    code = command.main(
        ["--environment", "dev"], {}, Events(lines.append, Redactor([TOKEN]))
    )
    text, result = map(json.loads, lines)
    assert (code, result["outcome"], result["code"]) == (1, "failed", 1)
    assert "ValueError: Invalid header value b'[hidden]'" in text["text"]
