"""Tests the parsers of the session's options, yamllint's output, kustomize's errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.kustomize import BuildOverlay, YamlLint, options
from lake_ci.errors import UsageError
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]


def ended(code: int, out: str = "", error: str = "") -> Completed:
    return Completed(("tool",), code, out, error, 0.1)


def test_all_environments_are_checked_unless_some_are_named() -> None:
    assert options([]).environments == ENVIRONMENTS
    assert not options([]).partial
    chosen = options(["--environment", "dev", "--environment", "dev"])
    assert (chosen.environments, chosen.partial) == (("dev",), True)
    assert options(["--diff", "staging"]).diff == "staging"
    assert options(["--diff", "staging"]).partial


def test_an_environment_that_is_none_is_a_wrong_usage() -> None:
    with pytest.raises(
        UsageError,
        match="nox -s k8s -- ...: argument --environment: invalid choice: 'qa'",
    ):
        options(["--environment", "qa"])


def test_yamllints_lines_become_findings(
    ctx: CheckContext, answering: Answering
) -> None:
    lines = [
        (
            "k8s/base/a.yaml:3:1: [error] syntax error: found character '\\t' that"
            " cannot start any token (syntax)"
        ),
        (
            'k8s/base/b.yaml:7:5: [error] duplication of key "name" in mapping'
            " (key-duplicates)"
        ),
    ]
    answering(ended(1, "\n".join(lines)))
    found = YamlLint().run(ctx).findings
    assert [(each.file, each.line, each.rule) for each in found] == [
        ("k8s/base/a.yaml", 3, "syntax"),
        ("k8s/base/b.yaml", 7, "key-duplicates"),
    ]
    answering(ended(1, "Traceback"))
    assert YamlLint().run(ctx).findings[0].rule == "crash"


def test_a_build_hands_its_objects_on(ctx: CheckContext, answering: Answering) -> None:
    thing = {"kind": "Service", "metadata": {"name": "api"}}
    output = {
        "objects": [{"object": thing, "places": [[[], "k8s/base/api.yaml", 2]]}],
        "deleted": [],
    }
    calls = answering(ended(0, "kind: Service\n"), ended(0, json.dumps(output)))
    build = BuildOverlay("dev")
    outcome = build.run(ctx)
    assert (outcome.status, outcome.detail) == (Status.SUCCESS, "1 object")
    rendered = build.result.wait()
    assert rendered is not None and rendered.manifests[0].place() == (
        "k8s/base/api.yaml",
        2,
    )
    wrapper = Path(calls[0][-1], "kustomization.yaml").read_text(encoding="utf-8")
    assert (
        wrapper == "resources: [../../../../k8s/overlays/dev]\nbuildMetadata:"
        " [originAnnotations]\n"
    )


@pytest.mark.parametrize(
    ("output", "file", "line"),
    [
        (
            "error: MalformedYAMLError: yaml: line 6: found a tab in File: size.yaml",
            "k8s/overlays/dev/size.yaml",
            6,
        ),
        (
            "error: invalid Kustomization: yaml: line 3: found a tab",
            "k8s/overlays/dev/kustomization.yaml",
            1,
        ),
        (
            "error: no such file: yaml: line 2: odd in File: nowhere.yaml",
            "k8s/overlays/dev/kustomization.yaml",
            1,
        ),
    ],
)
def test_a_refusal_is_placed_where_kustomize_says(
    ctx: CheckContext, answering: Answering, output: str, file: str, line: int
) -> None:
    (ctx.root / "k8s/overlays/dev").mkdir(parents=True)
    (ctx.root / "k8s/overlays/dev/size.yaml").write_text("a: 1\n")
    answering(ended(1, error=output))
    build = BuildOverlay("dev")
    [found] = build.run(ctx).findings
    assert (found.rule, found.file, found.line) == ("kustomize", file, line)
    assert found.message == output.removeprefix("error: ")
    assert build.result.wait() is None


def test_those_who_wait_learn_of_a_script_that_failed(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(ended(0, "kind: Service\n"), ended(1, error="KeyError: 'metadata'"))
    build = BuildOverlay("dev")
    assert "KeyError" in build.run(ctx).findings[0].message
    assert build.result.wait() is None
