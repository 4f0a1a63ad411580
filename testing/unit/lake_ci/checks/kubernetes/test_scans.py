"""The output of the schema validation and of checkov is converted to findings, each
with the right line in the source of the manifests.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.scans import (
    CheckovScan,
    KubernetesCheckov,
    SchemaValidation,
    checkov_path,
)
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
PROJECT = """\
[tool.lake_ci.k8s]
versions = ["1.32", "1.34"]

[tool.lake_ci.k8s.accepted]
CKV_K8S_15 = "a reason"
"""
DEPLOYMENT = Manifest(
    {
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "lake-dev"},
        "spec": {"template": {"spec": {"containers": [{"name": "api", "image": "x"}]}}},
    },
    {
        (): ("k8s/base/api.yaml", 1),
        ("spec", "template", "spec", "containers", "name=api", "image"): (
            "k8s/base/api.yaml",
            40,
        ),
    },
)


@pytest.fixture
def build(ctx: CheckContext) -> BuildOverlay:
    """Return a completed build."""
    (ctx.root / "pyproject.toml").write_text(PROJECT)
    build = BuildOverlay("dev")
    build.result.set(
        Rendered("dev", str(ctx.reports / "dev" / "manifests.yaml"), (DEPLOYMENT,))
    )
    return build


@pytest.fixture
def unbuilt() -> BuildOverlay:
    build = BuildOverlay("dev")
    build.result.set(None)
    return build


def completed(code: int, body: object) -> Completed:
    return Completed(("python",), code, json.dumps(body), "", 0.1)


def test_a_schemas_objection_names_versions_and_line(
    ctx: CheckContext, build: BuildOverlay, answering: Answering
) -> None:
    path = ["spec", "template", "spec", "containers", 0, "image"]
    row = {
        "kind": "Deployment",
        "name": "api",
        "path": path,
        "message": "3 is no string",
        "versions": ["1.34"],
    }
    calls = answering(completed(1, [row]))
    [found] = SchemaValidation(build).run(ctx).findings
    assert (found.file, found.line) == ("k8s/base/api.yaml", 40)
    assert found.message == "Deployment/api: 3 is no string (Kubernetes 1.34)"
    assert calls[0][-2:] == ["1.32", "1.34"]


def test_a_version_without_schemas_is_a_crash_and_no_success(
    ctx: CheckContext, build: BuildOverlay, answering: Answering
) -> None:
    answering(
        Completed(("python",), 2, "", "there are no schemas of Kubernetes 1.99", 0.1)
    )
    outcome = SchemaValidation(build).run(ctx)
    assert outcome.status is Status.FAILURE
    assert "1.99" in outcome.findings[0].message


def test_what_was_not_built_is_skipped(
    ctx: CheckContext, unbuilt: BuildOverlay
) -> None:
    for tool in (
        SchemaValidation(unbuilt),
        KubernetesCheckov(unbuilt, CheckovScan([unbuilt])),
    ):
        assert tool.run(ctx).status is Status.SKIPPED


def test_checkov_findings_have_lines_and_exclude_other_environments(
    ctx: CheckContext, build: BuildOverlay, answering: Answering
) -> None:
    row = {
        "rule": "CKV_K8S_43",
        "asks": "a digest",
        "object": "Deployment.lake-dev.api",
    }
    path = ["spec", "template", "spec", "containers", "[0]", "image"]
    failed = [
        row | {"file": "reports/job/dev/manifests.yaml", "path": path},
        row | {"file": "reports/job/trial/manifests.yaml", "path": path},
        row
        | {
            "file": "reports/job/dev/manifests.yaml",
            "object": "Pod.lake-dev.api.app-api",
            "path": [],
        },
        row
        | {"file": "reports/job/dev/manifests.yaml", "object": "Role.x.y", "path": []},
        row
        | {
            "rule": "CKV_K8S_15",  # accepted
            "file": "reports/job/dev/manifests.yaml",
            "object": "Deployment.lake-dev.api",
            "path": [],
        },
    ]
    calls = answering(completed(0, {"checked": 9, "unreadable": [], "failed": failed}))
    ctx.env["BC_API_KEY"] = "secret"
    scan = CheckovScan([build])
    found = KubernetesCheckov(build, scan).run(ctx).findings
    assert [(each.file, each.line) for each in found] == [
        ("k8s/base/api.yaml", 40),
        ("k8s/base/api.yaml", 1),
        ("reports/job/dev/manifests.yaml", None),
    ]
    assert found[0].message == "Deployment/api: a digest"
    assert calls[0][2:] == ["reports/job/dev/manifests.yaml"]
    KubernetesCheckov(build, scan).run(ctx)
    assert len(calls) == 1
    assert (ctx.reports / "checkov.json").exists()


def test_checkov_that_read_nothing_has_not_passed(
    ctx: CheckContext, build: BuildOverlay, answering: Answering
) -> None:
    answering(
        completed(
            0,
            {
                "checked": 0,
                "unreadable": ["reports/job/dev/manifests.yaml"],
                "failed": [],
            },
        )
    )
    assert (
        "checked nothing"
        in KubernetesCheckov(build, CheckovScan([build])).run(ctx).detail
    )
    answering(
        completed(
            0,
            {
                "checked": 3,
                "unreadable": ["reports/job/dev/manifests.yaml"],
                "failed": [],
            },
        )
    )
    assert [
        each.rule
        for each in KubernetesCheckov(build, CheckovScan([build])).run(ctx).findings
    ] == ["parse"]
    answering(Completed(("python",), 1, "", "ImportError", 0.1))
    assert (
        KubernetesCheckov(build, CheckovScan([build])).run(ctx).findings[0].rule
        == "crash"
    )


def test_checkovs_paths_count_containers() -> None:
    assert checkov_path(["spec", "[12]", "image"]) == ("spec", 12, "image")
