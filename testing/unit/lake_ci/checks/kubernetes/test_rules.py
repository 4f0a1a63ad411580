"""All of the project's own rules are checked in one row of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import (
    BuildResult,
    DeletedObject,
    Manifest,
    Rendered,
)
from lake_ci.checks.kubernetes.rule_context import IMAGES, built, short_name
from lake_ci.checks.kubernetes.rules import ProjectRules
from lake_ci.model import results
from lake_ci.model.results import Result, Status
from lake_ci.runner.check import CheckContext


@pytest.fixture
def ctx(ctx: CheckContext) -> CheckContext:
    (ctx.root / "pyproject.toml").write_text(
        '[tool.lake_ci.k8s]\nsecrets = ["tokens"]\n'
    )
    return ctx


def test_findings_of_all_rules_come_in_one_row(ctx: CheckContext) -> None:
    build = BuildOverlay("dev")
    secret = Manifest(
        {"kind": "Secret", "metadata": {"name": "x"}}, {(): ("k8s/base/x.yaml", 3)}
    )
    gone = DeletedObject("NetworkPolicy", "deny", "k8s/overlays/dev/x.yaml", 9)
    build.result.set(Rendered("dev", "made.yaml", (secret,), (gone,)))
    outcome = ProjectRules(build, {}).run(ctx)
    assert [(each.rule, each.file, each.line) for each in outcome.findings] == [
        ("network-policy", "k8s/overlays/dev/x.yaml", 9),
        ("pod-security", "k8s/overlays/dev/kustomization.yaml", 1),
        ("secret", "k8s/base/x.yaml", 3),
    ]


def test_good_environment_reports_number_of_rules_and_skipped_comparison(
    ctx: CheckContext,
) -> None:
    build = BuildOverlay("dev")
    build.result.set(sound())
    detail = ProjectRules(build, {}).run(ctx).detail
    assert detail.startswith("14 rules; images not compared: ")
    assert str(IMAGES) in detail
    (ctx.root / IMAGES).parent.mkdir(parents=True)
    (ctx.root / IMAGES).write_text("[]")
    assert ProjectRules(build, {}).run(ctx).detail == "14 rules"


def sound(*more: Manifest) -> Rendered:
    """Return an environment that satisfies the rules for overlays. `more` are
    additional objects.
    """
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space = Manifest({"kind": "Namespace", "metadata": {"name": "x", "labels": labels}})
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy = Manifest(
        {"kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": spec}
    )
    return Rendered("dev", "made.yaml", (space, policy, *more))


@pytest.mark.parametrize("partial", [False, True])
def test_partial_images_are_not_compared(ctx: CheckContext, partial: bool) -> None:
    container = {"name": "run", "image": "registry/lakekit-prod:1.0"}
    spec = {"containers": [container]}
    body = {"kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    build = BuildOverlay("dev")
    build.result.set(sound(Manifest(body)))
    (ctx.root / IMAGES).parent.mkdir(parents=True)
    (ctx.root / IMAGES).write_text('[{"name": "lakekit-api:1.0"}]')
    result = Result(
        run="1",
        attempt=1,
        event="push",
        commit=None,
        dirty=False,
        job="docker",
        session="docker",
        started="2026-01-31T02:00:00Z",
        seconds=1.0,
        reproduce="nox -s docker",
        partial=partial,
    )
    results.write((ctx.root / IMAGES).parent, result)
    rules = {each.rule for each in ProjectRules(build, {}).run(ctx).findings}
    assert ("unknown-image" in rules) is not partial
    build.result = BuildResult()
    build.result.set(sound())
    detail = ProjectRules(build, {}).run(ctx).detail
    assert ("`nox -s docker`" in detail) is partial
    assert detail.startswith("14 rules")


def test_what_was_not_built_is_skipped(ctx: CheckContext) -> None:
    build = BuildOverlay("dev")
    build.result.set(None)
    assert ProjectRules(build, {}).run(ctx).status is Status.SKIPPED


def test_images_are_known_by_name_without_registry_and_tag(tmp_path: Path) -> None:
    assert built(tmp_path) is None
    (tmp_path / IMAGES).parent.mkdir(parents=True)
    (tmp_path / IMAGES).write_text(
        json.dumps([{"name": "r:5000/lakekit-api:1.0"}, {"name": "lakekit-prod"}])
    )
    assert built(tmp_path) == frozenset({"lakekit-api", "lakekit-prod"})
    assert short_name("a/b/c@sha256:12") == "c"
