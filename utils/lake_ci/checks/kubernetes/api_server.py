"""Starts a Kubernetes API server for dry-runs, or connects to the user's cluster."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lake_ci.checks.kubernetes.kustomize import WORK
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext

SERVE = "scripts/serve_kubernetes.py"
CONTEXT = "KUBE_CONTEXT"
ASSETS = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver")
SECONDS = 30
FIELD_MANAGER = "lake-ci"
WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
HOW = (
    f"set {CONTEXT} to a cluster's context, or {ASSETS} to a folder with etcd and"
    " kube-apiserver (`setup-envtest use -p path` downloads them)"
)


@dataclass(frozen=True)
class ApiResponse:
    """An API server's response: status code, body (object or error) and warnings."""

    code: int
    body: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Api:
    """The address of an API server.

    Attributes:
        endpoint: the output of `scripts/serve_kubernetes.py`, which has either the key
            `socket`, or the keys `url`, `ca` and `token`.
        label: the server's name in messages.
        own: whether the session itself started the server. Checks may store objects
            only on a server that the session itself started.
    """

    endpoint: Mapping[str, str]
    label: str
    own: bool

    def connect(self) -> ApiConnection:
        """Open a connection to the server, which only one thread may use."""
        if "socket" in self.endpoint:
            return ApiConnection(_Unix(self.endpoint["socket"]), {})
        url = urlsplit(self.endpoint["url"])
        trust = ssl.create_default_context(cafile=self.endpoint["ca"])
        secure = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=SECONDS, context=trust
        )
        return ApiConnection(
            secure, {"Authorization": f"Bearer {self.endpoint['token']}"}
        )


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket.

    The path of a Unix socket may have only about 100 characters. A relative path is
    used, because a relative path is usually shorter.
    """

    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.address = os.path.relpath(address)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.address)


class ApiConnection:
    """Sends requests to the server; raises LakeCiError for connection errors."""

    def __init__(
        self, connection: http.client.HTTPConnection, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._resources: dict[str, Mapping[str, Mapping[str, Any]]] = {}

    def apply(self, thing: Mapping[str, Any], *, dry_run: bool = True) -> ApiResponse:
        """Apply an object as `kubectl apply --server-side` does.

        Args:
            dry_run: whether the server only validates the object, without storing it.
        """
        path = self.path(thing)
        if isinstance(path, ApiResponse):
            return path
        query = f"fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force=true"
        if dry_run:
            query += "&dryRun=All"
        return self.ask("PATCH", f"{path}?{query}", thing)

    def path(self, thing: Mapping[str, Any]) -> str | ApiResponse:
        """Return an object's URL path, or an error if the object's kind is unknown."""
        version, kind = thing["apiVersion"], thing["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._resources:
            answer = self.ask("GET", base)
            if answer.code not in (200, 404):
                return answer
            rows = answer.body.get("resources", ())
            self._resources[version] = {
                row["kind"]: row for row in rows if "/" not in row["name"]
            }
        row = self._resources[version].get(kind)
        if row is None:
            cause = {
                "field": "apiVersion",
                "message": f"the server has no kind {kind} in {version}",
            }
            return ApiResponse(
                404, {"reason": "NotFound", "details": {"causes": [cause]}}
            )
        space = (
            f"/namespaces/{thing['metadata']['namespace']}" if row["namespaced"] else ""
        )
        return f"{base}{space}/{row['name']}/{thing['metadata']['name']}"

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> ApiResponse:
        """Send one request.

        Raises:
            LakeCiError: the server does not answer, or the server's answer is not JSON.
        """
        headers = {"Accept": "application/json", **self._headers}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        try:
            self._connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
            answer = self._connection.getresponse()
            text = answer.read()
            warnings = tuple(
                json.loads(f'"{match}"')
                for header in answer.headers.get_all("Warning", [])
                for match in WARNING.findall(header)
            )
            return ApiResponse(answer.status, json.loads(text), warnings)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LakeCiError(
                f"the API server does not answer {method}"
                f" {path.partition('?')[0]}: {error}"
            ) from error

    def close(self) -> None:
        self._connection.close()


class ApiServer(Check):
    """Provide a Kubernetes API server for the dry-runs until `held` is closed.

    If KUBE_CONTEXT is set, the API server of the cluster in this context is used;
    otherwise, the session starts a server.

    Attributes:
        api: the address of the ready server; None if there is no server.
    """

    name = "API server"
    is_setup = True

    def __init__(self, held: ExitStack) -> None:
        self.held = held
        self.api: Future[Api | None] = Future()

    def run(self, ctx: CheckContext) -> Outcome:
        try:
            return self.serve(ctx)
        finally:
            if not self.api.done():
                self.api.set_result(None)

    def serve(self, ctx: CheckContext) -> Outcome:
        """Start the server, or connect to the user's cluster. Raises LakeCiError."""
        context, assets = ctx.env.get(CONTEXT), ctx.env.get(ASSETS)
        argv = [str(ctx.python), SERVE, WORK]
        if context:
            endpoint = self.started(
                [*argv, "--context", context], ctx, ctx.env_of("kubernetes")
            )
            api = Api(endpoint, f"the cluster of context {context}", own=False)
            connection = api.connect()
            answer = connection.ask("GET", "/version")
            connection.close()
            if answer.code != 200:
                message = answer.body.get("message", answer.code)
                raise LakeCiError(
                    f"{api.label} does not answer: {message}",
                    hint=f"log in, or unset {CONTEXT}",
                )
            self.api.set_result(api)
            version = answer.body.get("gitVersion")
            return Outcome(
                Status.SUCCESS, f"{api.label}, Kubernetes {version}; dry-run only"
            )
        if assets:
            lacking = [
                name for name in PROGRAMS if not os.access(Path(assets, name), os.X_OK)
            ]
            if lacking:
                raise LakeCiError(
                    f"{ASSETS} is {assets}, which lacks {' and '.join(lacking)}",
                    hint=HOW,
                )
            endpoint = self.started([*argv, "--assets", assets], ctx, ctx.env)
            self.api.set_result(Api(endpoint, "the session's own server", own=True))
            return Outcome(
                Status.SUCCESS, f"the session's own, Kubernetes {endpoint['version']}"
            )
        why = "the manifests were only validated against schemas"
        return Outcome(Status.WARNING, f"no API server: {HOW}", not_checked=why)

    def started(
        self, argv: list[str], ctx: CheckContext, env: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Start `scripts/serve_kubernetes.py`; return the endpoint that it prints."""
        endpoint: Mapping[str, str] = json.loads(
            self.held.enter_context(ctx.serve(argv, env=env))
        )
        return endpoint
