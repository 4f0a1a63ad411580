"""The Kubernetes API that manifests are dry-run against: a named cluster's, or a server
of the session's own.
"""

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
from lake_ci.runner.check import Tool, Workbench

SERVE = "scripts/serve_kubernetes.py"
CONTEXT = "KUBE_CONTEXT"
ASSETS = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver")
SECONDS = 30
FIELD_MANAGER = "lake-ci"
WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
HOW = (
    f"name a cluster by {CONTEXT}, or the folder of etcd and kube-apiserver by {ASSETS}"
    " (`setup-envtest use -p path` fetches them)"
)


@dataclass(frozen=True)
class Answer:
    """What the server said: the status code, the object or its refusal, and its
    warnings.
    """

    code: int
    body: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Api:
    """A way to the server.

    Attributes:
        said: what the script that serves it says of it.
        label: what people call it.
        own: whether it is the session's own, the only one that is ever written to.
    """

    said: Mapping[str, str]
    label: str
    own: bool

    def connect(self) -> Connection:
        """A connection, for one thread."""
        if "socket" in self.said:
            return Connection(_Unix(self.said["socket"]), {})
        url = urlsplit(self.said["url"])
        trust = ssl.create_default_context(cafile=self.said["ca"])
        secure = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=SECONDS, context=trust
        )
        return Connection(secure, {"Authorization": f"Bearer {self.said['token']}"})


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket. Its address may have about 100 characters: it is given
    from the working folder on.
    """

    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.address = os.path.relpath(address)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.address)


class Connection:
    """Asks the server; an OSError or HTTPException becomes a LakeCiError."""

    def __init__(
        self, connection: http.client.HTTPConnection, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._headers = headers
        self._resources: dict[str, Mapping[str, Mapping[str, Any]]] = {}

    def apply(self, thing: Mapping[str, Any], *, dry_run: bool = True) -> Answer:
        """Apply an object on the server's side, as `kubectl apply --server-side` does;
        without `dry_run` it is kept.
        """
        path = self.path(thing)
        if isinstance(path, Answer):
            return path
        query = f"fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force=true"
        if dry_run:
            query += "&dryRun=All"
        return self.ask("PATCH", f"{path}?{query}", thing)

    def path(self, thing: Mapping[str, Any]) -> str | Answer:
        """Where the API keeps an object; the refusal of a version or a kind that it
        does not know.
        """
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
                "message": f"the server knows no {kind} of {version}",
            }
            return Answer(404, {"reason": "NotFound", "details": {"causes": [cause]}})
        space = (
            f"/namespaces/{thing['metadata']['namespace']}" if row["namespaced"] else ""
        )
        return f"{base}{space}/{row['name']}/{thing['metadata']['name']}"

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Answer:
        """One request. Raises LakeCiError where the server cannot be asked, or answers
        no JSON.
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
            return Answer(answer.status, json.loads(text), warnings)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LakeCiError(
                f"the API server does not answer {method}"
                f" {path.partition('?')[0]}: {error}"
            ) from error

    def close(self) -> None:
        self._connection.close()


class ApiServer(Tool):
    """A Kubernetes API server is there for the dry-runs: of the cluster that is named,
    or the session's own.

    It lives until `held` is closed.

    Attributes:
        api: the way to it, as soon as it is ready; None where there is none.
    """

    name = "API server"
    prepares = True

    def __init__(self, held: ExitStack) -> None:
        self.held = held
        self.api: Future[Api | None] = Future()

    def run(self, bench: Workbench) -> Outcome:
        try:
            return self.serve(bench)
        finally:
            if not self.api.done():
                self.api.set_result(None)

    def serve(self, bench: Workbench) -> Outcome:
        """Start the server, or the door to the named cluster. Raises LakeCiError where
        that fails.
        """
        context, assets = bench.env.get(CONTEXT), bench.env.get(ASSETS)
        argv = [str(bench.python), SERVE, WORK]
        if context:
            said = self.started([*argv, "--context", context], bench)
            api = Api(said, f"the cluster of context {context}", own=False)
            with_version = api.connect()
            answer = with_version.ask("GET", "/version")
            with_version.close()
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
                    f"{ASSETS} names {assets}, which holds no"
                    f" {' and no '.join(lacking)}",
                    hint=HOW,
                )
            said = self.started([*argv, "--assets", assets], bench)
            self.api.set_result(Api(said, "the session's own server", own=True))
            return Outcome(
                Status.SUCCESS, f"the session's own, Kubernetes {said['version']}"
            )
        why = "the manifests were held against schemas only"
        return Outcome(Status.WARNING, f"there is no API server: {HOW}", weaker=why)

    def started(self, argv: list[str], bench: Workbench) -> Mapping[str, str]:
        """What the serving script says once it is ready."""
        said: Mapping[str, str] = json.loads(
            self.held.enter_context(bench.serve(argv, env=bench.env))
        )
        return said
