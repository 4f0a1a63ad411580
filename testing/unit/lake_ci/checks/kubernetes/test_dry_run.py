"""The check converts the server's error responses to findings, each with the right line
in the source of the manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from lake_ci.checks.kubernetes.api_server import (
    CONTEXT,
    Api,
    ApiConnection,
    ApiResponse,
    ApiServer,
)
from lake_ci.checks.kubernetes.dry_run import (
    ClusterDiff,
    DryRun,
    refused_path,
    server_path,
    warned_path,
)
from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.errors import MachineError
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
BODY = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "api",
        "namespace": "lake-dev",
        "labels": {"app.kubernetes.io/name": "api"},
    },
    "spec": {
        "template": {
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "api",
                        "resources": {"limits": {"memory": "1Gb", "cpu": "1"}},
                        "securityContext": {
                            "privileged": True,
                            "capabilities": {"add": ["ALL"]},
                        },
                    }
                ],
            }
        }
    },
}
POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
NAMED = (*POD, "containers", "name=api")
DEPLOYMENT = Manifest(
    BODY,
    {
        (): ("k8s/base/api.yaml", 1),
        NAMED: ("k8s/base/api.yaml", 30),
        (*NAMED, "resources", "limits", "memory"): ("k8s/overlays/dev/size.yaml", 9),
        (*NAMED, "securityContext", "privileged"): ("k8s/base/api.yaml", 50),
    },
)
SPACE = Manifest(
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lake-dev"}}
)


class Server(ApiConnection):
    """Fakes the API server: records the namespaces that it stores, and has one response
    for each kind of object.
    """

    def __init__(self, answers: Mapping[str, ApiResponse], *, spaces: set[str]) -> None:
        self.answers = answers
        self.spaces = spaces
        self.closed = False

    def apply(self, thing: Mapping[str, Any], *, dry_run: bool = True) -> ApiResponse:
        if not dry_run:
            self.spaces.add(thing["metadata"]["name"])
        return self.answers.get(thing["kind"], ApiResponse(201, thing))

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> ApiResponse:
        return ApiResponse(200 if path.rpartition("/")[2] in self.spaces else 404, {})

    def close(self) -> None:
        self.closed = True


def dry_run(monkeypatch: pytest.MonkeyPatch, server: Server, *, own: bool) -> DryRun:
    build = BuildOverlay("dev")
    build.result.set(Rendered("dev", "made.yaml", (SPACE, DEPLOYMENT)))
    door = ApiServer(ExitStack())
    door.api.set_result(Api({}, "the server", own))
    monkeypatch.setattr(Api, "connect", lambda self: server)
    return DryRun(build, door)


def test_the_namespace_is_made_on_the_sessions_own_server(
    ctx: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server({}, spaces=set())
    outcome = dry_run(monkeypatch, server, own=True).run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "2 objects by the server",
    )
    assert server.spaces == {"lake-dev"} and server.closed


def test_cluster_without_the_namespace_is_unchanged_and_check_incomplete(
    ctx: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server({}, spaces=set())
    outcome = dry_run(monkeypatch, server, own=False).run(ctx)
    assert (
        outcome.not_checked is not None
        and "the server has no namespace lake-dev" in outcome.not_checked
    )
    assert server.spaces == set()
    assert (
        dry_run(monkeypatch, Server({}, spaces={"lake-dev"}), own=False).run(ctx).status
        is Status.SUCCESS
    )


def test_refusals_and_warnings_are_placed(
    ctx: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    causes = [
        {
            "field": "spec.template.spec.containers[0].resources.limits[memory]",
            "message": "too much",
        }
    ]
    warning = (
        'would violate PodSecurity: privileged (container "api" must not set'
        " securityContext.privileged=true)"
    )
    answer = ApiResponse(
        422, {"reason": "Invalid", "details": {"causes": causes}}, (warning,)
    )
    outcome = dry_run(
        monkeypatch, Server({"Deployment": answer}, spaces=set()), own=True
    ).run(ctx)
    assert [(each.rule, each.file, each.line) for each in outcome.findings] == [
        ("warning", "k8s/base/api.yaml", 50),
        ("Invalid", "k8s/overlays/dev/size.yaml", 9),
    ]
    assert outcome.findings[1].message.endswith("limits[memory]: too much")


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (
            (
                '.spec.template.spec.containers[name="api"].foo: field not declared in'
                " schema"
            ),
            (*CONTAINER, "foo"),
        ),
        (
            "quantities must match the regular expression",
            (*CONTAINER, "resources", "limits", "memory"),
        ),
        ("something else", ()),
    ],
)
def test_a_refusal_without_causes_is_placed_by_its_words(
    message: str, path: tuple[Any, ...]
) -> None:
    assert refused_path(DEPLOYMENT, f"failed to create: {message}") == path


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("host namespaces (hostNetwork=true)", (*POD, "hostNetwork")),
        ("must set securityContext.runAsNonRoot=true", (*CONTAINER, "securityContext")),
    ],
)
def test_a_warning_is_placed_by_the_setting_it_names(
    message: str, path: tuple[Any, ...]
) -> None:
    assert warned_path(DEPLOYMENT, message) == path


def test_a_key_with_dots_in_it_is_one_step() -> None:
    path = server_path(DEPLOYMENT, "metadata.labels.app.kubernetes.io/name")
    assert path == ("metadata", "labels", "app.kubernetes.io/name")


def test_without_build_or_server_nothing_is_asked(ctx: CheckContext) -> None:
    for rendered, api in ((None, Api({}, "x", True)), (Rendered("dev", "x", ()), None)):
        build, door = BuildOverlay("dev"), ApiServer(ExitStack())
        build.result.set(rendered)
        door.api.set_result(api)
        assert DryRun(build, door).run(ctx).status is Status.SKIPPED


def test_a_diff_is_shown_and_kept(
    ctx: CheckContext, answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx.env[CONTEXT] = "kind-lake"
    text = "--- a\n+++ b\n+kind: CronJob\n--- c\n+++ d\n"
    calls = answering(Completed(("kubectl",), 1, text, "", 0.1))
    outcome = ClusterDiff("dev").run(ctx)
    assert (outcome.status, outcome.detail) == (
        Status.SUCCESS,
        "2 objects would change; reports/job/dev.diff",
    )
    assert (ctx.reports / "dev.diff").read_text(encoding="utf-8") == text
    assert calls[0][1:] == ["--context=kind-lake", "diff", "-k", "k8s/overlays/dev"]


def test_a_diff_that_failed_or_has_no_cluster_is_no_success(
    ctx: CheckContext, answering: Answering
) -> None:
    with pytest.raises(
        MachineError, match="KUBE_CONTEXT=NAME nox -s k8s -- --diff dev"
    ):
        ClusterDiff("dev").run(ctx)
    ctx.env[CONTEXT] = "x"
    answering(Completed(("kubectl",), 1, "", 'error: context "x" does not exist', 0.1))
    assert (
        'context "x" does not exist' in ClusterDiff("dev").run(ctx).findings[0].message
    )
