"""Checks the manifests by dry-runs on a real API server.

Each error or warning of the server becomes a finding. The finding's file and line are
in the source of the manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lake_ci.checks.kubernetes.api_server import (
    CONTEXT,
    Api,
    ApiConnection,
    ApiResponse,
    ApiServer,
)
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import FOLDER, Manifest, Rendered, leaves
from lake_ci.errors import MachineError
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Check, CheckContext, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole

QUANTITY = re.compile(r"[+-]?[0-9.]+([eEinumkKMGTP]*[-+]?[0-9]*)")
QUANTITIES = {"limits", "requests", "hard", "sizeLimit"}
# `.spec.template.spec.containers[name="api"].foo: field not declared in schema`
UNDECLARED = re.compile(
    r"(\.[^\s:]+): (field not declared in schema|expected [^\n]+|.*duplicate[^\n]*)"
)
STEP = re.compile(r"([^.\[\]]+)|\[([^\]]+)\]")
# `privileged (container "api" must not set securityContext.privileged=true)`
SETTING = re.compile(r"([A-Za-z][\w.]*)=")
NOT_FOUND = 404


class DryRun(Check):
    """Dry-run every object of an environment on the API server."""

    def __init__(self, build: BuildOverlay, server: ApiServer) -> None:
        self.build = build
        self.server = server
        self.name = f"dry-run {build.environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        rendered = self.build.result.wait()
        api = self.server.api.result()
        if rendered is None:
            return Outcome(Status.SKIPPED, "skipped: the overlay was not built")
        if api is None:
            return Outcome(Status.SKIPPED, "skipped: no API server")
        connection = api.connect()
        try:
            return self.ask(rendered, api, connection)
        finally:
            connection.close()

    def ask(self, rendered: Rendered, api: Api, connection: ApiConnection) -> Outcome:
        """Dry-run each object, and return the outcome.

        Objects in a namespace can be applied only if the namespace exists. The check
        creates the namespace only on a server that the session started. On a cluster,
        the namespace must already exist.
        """
        found: list[Finding] = []
        for space in rendered.of("Namespace"):
            found += self.judge(space, connection.apply(space.body))
            if api.own and not found:
                connection.apply(space.body, dry_run=False)
        rest = [each for each in rendered.manifests if each.kind != "Namespace"]
        absent = self.absent(rest, connection)
        if absent:
            label = "app.kubernetes.io/component=namespace"
            hint = f"kubectl apply -k {rendered.overlay} -l {label}"
            why = (
                f"{api.label} has no namespace {absent}, so only the Namespace was"
                f" dry-run; create it with `{hint}`"
            )
            return Outcome(Status.WARNING, why, tuple(found), not_checked=why)
        for each in rest:
            found += self.judge(each, connection.apply(each.body))
        return Outcome.of(
            found, clean=f"{count(len(rendered.manifests), 'object')} by {api.label}"
        )

    def absent(
        self, manifests: list[Manifest], connection: ApiConnection
    ) -> str | None:
        """Return the first namespace that is missing on the server, or None."""
        spaces = {each.get("metadata", "namespace") for each in manifests} - {None}
        for space in sorted(spaces):
            if connection.ask("GET", f"/api/v1/namespaces/{space}").code == NOT_FOUND:
                return str(space)
        return None

    def judge(self, manifest: Manifest, answer: ApiResponse) -> Iterator[Finding]:
        """Yield a finding for each error and each warning of the server."""
        for warning in answer.warnings:
            yield manifest.finding(
                self.name, "warning", warning, warned_path(manifest, warning)
            )
        if answer.code < 400:
            return
        reason = str(answer.body.get("reason") or answer.code)
        causes = (answer.body.get("details") or {}).get("causes") or ()
        placed = [cause for cause in causes if cause.get("field")]
        for cause in placed:
            message = f"{cause['field']}: {cause['message']}"
            yield manifest.finding(
                self.name, reason, message, server_path(manifest, cause["field"])
            )
        if not placed:
            message = str(answer.body.get("message", answer.code))
            yield manifest.finding(
                self.name, reason, message, refused_path(manifest, message)
            )


def refused_path(manifest: Manifest, message: str) -> tuple[str | int, ...]:
    """Find the field that an error message names, for errors that list no causes.

    The result is the path of the field.
    """
    undeclared = UNDECLARED.search(message)
    if undeclared:
        return server_path(manifest, undeclared[1])
    if "quantities must match" in message:
        for path, value in leaves(manifest.body):
            if QUANTITIES & set(map(str, path)) and not QUANTITY.fullmatch(str(value)):
                return path
    return ()


def warned_path(manifest: Manifest, message: str) -> tuple[str | int, ...]:
    """Return the path of the field that a warning names, or else of a security context.

    A warning contains only the end of the field's path, such as
    `securityContext.privileged`.
    """
    for match in SETTING.finditer(message):
        wanted = tuple(
            match[1].removeprefix("securityContext.").removeprefix("spec.").split(".")
        )
        for path, _ in leaves(manifest.body):
            if any(path[at : at + len(wanted)] == wanted for at in range(len(path))):
                return path
    return next(((*path, "securityContext") for path, _ in manifest.containers()), ())


def server_path(manifest: Manifest, text: str) -> tuple[str | int, ...]:
    """Parse a field's path, which is written in the server's notation.

    Examples are `spec.containers[0].resources.limits[memory]` and
    `.containers[name="api"].foo`.
    """
    path: list[str | int] = []
    for match in STEP.finditer(text):
        at = manifest.get(*path)
        name, selector = match[1], match[2]
        if isinstance(at, Mapping) and name and name not in at:
            # A key may contain dots. So first look for a key that is the beginning of
            # the remaining text.
            rest = text[match.start() :]
            whole = [str(each) for each in at if rest.startswith(str(each))][:1]
            if whole:
                return (*path, *whole)
        path.append(_step(at, name) if name else _selected(at, selector))
    return tuple(path)


def _selected(at: Any, selector: str) -> str | int:
    """Return the key or the list index for a `[...]` in the server's notation."""
    key, equals, value = selector.partition("=")
    if equals:
        return index(at, key, value.split(",")[0].strip('"'))
    return _step(at, selector.strip('"'))


def _step(at: Any, step: str) -> str | int:
    """Return a step of a path: an index if `at` is a list, or else a key."""
    return int(step) if isinstance(at, list) and step.isdigit() else step


def index(items: Any, key: str, value: str) -> int:
    """Return the index of the list item whose `key` has this value; else 0."""
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping) and str(item.get(key)) == value:
            return number
    return 0


class ClusterDiff(Check):
    """Report what applying an overlay would change in the cluster of KUBE_CONTEXT."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.name = f"diff {environment}"

    def run(self, ctx: CheckContext) -> Outcome:
        context = ctx.env.get(CONTEXT)
        if not context:
            hint = (
                f"run `{CONTEXT}=NAME nox -s k8s -- --diff {self.environment}`;"
                " `kubectl config get-contexts` lists the names"
            )
            raise MachineError("no cluster to compare with", hint=hint)
        overlay = f"{FOLDER}/overlays/{self.environment}"
        argv = [ctx.bin("kubectl"), f"--context={context}", "diff"]
        done = ctx.execute(
            [*argv, "-k", overlay],
            env=ctx.env_of("kubernetes"),
            echo=lambda line: print(line, end=""),
        )
        if done.code not in (0, 1) or (done.code == 1 and not done.stdout):
            return stopped_or_crashed(self.name, done)
        file = ctx.reports / f"{self.environment}.diff"
        write_whole(file, done.stdout)
        changed = len(re.findall(r"^\+\+\+ ", done.stdout, re.MULTILINE))
        return Outcome(
            Status.SUCCESS,
            f"{count(changed, 'object')} would change; {ctx.relative(file)}",
        )
