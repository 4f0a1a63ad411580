"""Tests how the API server is chosen, started and used. A real HTTP server on the
loopback interface or on a Unix socket answers the requests.
"""

from __future__ import annotations

import http.client
import json
import os
import runpy
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.kubernetes.api_server import (
    ASSETS,
    CONTEXT,
    SERVE,
    Api,
    ApiConnection,
    ApiServer,
)
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext

REPOSITORY = Path(__file__).resolve().parents[5]
RESOURCES = {
    "resources": [
        {"name": "deployments", "kind": "Deployment", "namespaced": True},
        {"name": "deployments/scale", "kind": "Scale", "namespaced": True},
    ]
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "namespace": "lake"},
}


class Handler(BaseHTTPRequestHandler):
    """Serves Deployments, and records the requests."""

    protocol_version = "HTTP/1.1"
    requests: list[str] = []

    def do_GET(self) -> None:
        known: dict[str, Mapping[str, Any]] = {
            "/apis/apps/v1": RESOURCES,
            "/version": {"gitVersion": "v1.34.2"},
        }
        self.answer(
            200 if self.path in known else 404,
            known.get(self.path, {"message": "no such path"}),
        )

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, json.loads(body), 'would violate \\"restricted\\"')

    def answer(
        self, code: int, body: Mapping[str, Any], warning: str | None = None
    ) -> None:
        self.requests.append(f"{self.command} {self.path}")
        text = json.dumps(body).encode()
        self.send_response(code)
        if warning:
            self.send_header("Warning", f'299 - "{warning}"')
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing, because `requests` already records the requests."""

    def address_string(self) -> str:
        return "a socket"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of a server on a Unix socket. `Handler.requests` records the
    requests to the server.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Handler, "requests", [])
    with UnixServer("socket", Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(tmp_path / "socket")
        server.shutdown()


@pytest.fixture
def connection(address: str) -> Iterator[ApiConnection]:
    opened = Api({"socket": address}, "a cluster", own=False).connect()
    yield opened
    opened.close()


def test_an_object_is_applied_dry_at_its_place_and_warnings_are_unquoted(
    connection: ApiConnection,
) -> None:
    answer = connection.apply(DEPLOYMENT)
    assert (answer.code, answer.body) == (201, DEPLOYMENT)
    assert answer.warnings == ('would violate "restricted"',)
    query = "fieldManager=lake-ci&fieldValidation=Strict&force=true"
    path = "/apis/apps/v1/namespaces/lake/deployments/api"
    assert Handler.requests == ["GET /apis/apps/v1", f"PATCH {path}?{query}&dryRun=All"]
    connection.apply(DEPLOYMENT, dry_run=False)
    assert Handler.requests[2:] == [f"PATCH {path}?{query}"]


@pytest.mark.parametrize(
    ("version", "kind"), [("apps/v1", "Deploiment"), ("apps/v9", "Deployment")]
)
def test_a_kind_or_version_that_the_server_does_not_know_is_refused(
    connection: ApiConnection, version: str, kind: str
) -> None:
    answer = connection.apply(DEPLOYMENT | {"apiVersion": version, "kind": kind})
    assert answer.code == 404
    [cause] = answer.body["details"]["causes"]
    assert cause == {
        "field": "apiVersion",
        "message": f"the server has no kind {kind} in {version}",
    }


def test_a_server_that_is_gone_is_an_error_that_names_the_request() -> None:
    nobody = ApiConnection(http.client.HTTPConnection("127.0.0.1", 1, timeout=1), {})
    with pytest.raises(
        LakeCiError, match="the API server does not answer GET /version"
    ):
        nobody.ask("GET", "/version?x=1")


# Row of the check


class Serving:
    """Fakes `serve_kubernetes.py`: records the command, and prints the endpoint."""

    def __init__(self, endpoint: Mapping[str, str]) -> None:
        self.endpoint = endpoint
        self.argv: list[str] = []
        self.open = False

    def __call__(
        self, argv: Sequence[str], *, env: Mapping[str, str]
    ) -> AbstractContextManager[str]:
        self.argv = list(argv)

        @contextmanager
        def serving() -> Iterator[str]:
            self.open = True
            yield json.dumps(self.endpoint)
            self.open = False

        return serving()


def test_without_cluster_and_assets_the_check_is_incomplete(ctx: CheckContext) -> None:
    server = ApiServer(ExitStack())
    outcome = server.run(ctx)
    assert (outcome.status, outcome.not_checked) == (
        Status.WARNING,
        "the manifests were only validated against schemas",
    )
    assert CONTEXT in outcome.detail and ASSETS in outcome.detail
    assert server.api.result() is None


def test_a_folder_without_the_programs_is_an_error(
    ctx: CheckContext, tmp_path: Path
) -> None:
    ctx.env[ASSETS] = str(tmp_path)
    server = ApiServer(ExitStack())
    with pytest.raises(LakeCiError, match="lacks etcd and kube-apiserver"):
        server.run(ctx)
    assert server.api.result() is None


def test_the_sessions_own_server_lives_until_it_is_let_go(
    ctx: CheckContext, tmp_path: Path
) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
        os.chmod(tmp_path / name, 0o755)
    ctx.env[ASSETS] = str(tmp_path)
    ctx.serve = serving = Serving({"url": "https://127.0.0.1:1", "version": "v1.34.2"})
    with ExitStack() as held:
        server = ApiServer(held)
        assert server.run(ctx).detail == "the session's own, Kubernetes v1.34.2"
        api = server.api.result()
        assert api is not None and api.own and serving.open
        assert serving.argv[1:] == [
            "scripts/serve_kubernetes.py",
            ".cache/kubernetes",
            "--assets",
            str(tmp_path),
        ]
    assert not serving.open


def test_a_named_context_comes_first_and_is_not_ones_own(
    ctx: CheckContext, address: str
) -> None:
    ctx.env |= {CONTEXT: "kind-lake", ASSETS: "/nowhere"}
    ctx.serve = serving = Serving({"socket": address})
    with ExitStack() as held:
        server = ApiServer(held)
        detail = server.run(ctx).detail
        assert (
            detail
            == "the cluster of context kind-lake, Kubernetes v1.34.2; dry-run only"
        )
        api = server.api.result()
        assert api is not None and not api.own
        assert serving.argv[-2:] == ["--context", "kind-lake"]


def test_the_door_to_a_cluster_is_open_once_somebody_listens(tmp_path: Path) -> None:
    is_listened_on = runpy.run_path(str(REPOSITORY / SERVE))["is_listened_on"]
    address = tmp_path / "socket"
    assert not is_listened_on(address)
    with socket.socket(socket.AF_UNIX) as kubectl:
        kubectl.bind(str(address))
        assert address.exists() and not is_listened_on(address)
        kubectl.listen()
        assert is_listened_on(address)
    assert not is_listened_on(address)
