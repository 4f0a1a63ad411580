"""The project's tests of its overlays get the rendered manifests, but not the arguments
of the session.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lake_ci.checks.kubernetes.kustomize import BuildOverlay
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.overlay_tests import TESTS, VARIABLE, OverlayTests
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

RULES = Path(__file__).parents[5] / TESTS / "test_overlays.py"
JUNIT = """\
<testsuites><testsuite><testcase classname="testing.k8s.test_overlays" name="test_x">
<properties><property name="place" value="k8s/overlays/dev/x.env:3"/></properties>
<failure message="Failed: no">no</failure></testcase></testsuite></testsuites>
"""


def builds(*built: str, failed: Sequence[str] = ()) -> list[BuildOverlay]:
    found = [BuildOverlay(name) for name in (*built, *failed)]
    for build in found:
        rendered = Rendered(build.environment, "made.yaml", ())
        build.result.set(None if build.environment in failed else rendered)
    return found


def test_pytest_is_given_what_was_built_and_no_option_of_the_session(
    ctx: CheckContext,
) -> None:
    calls = []

    def execute(
        argv: Sequence[str], *, env: Mapping[str, str], **named: Any
    ) -> Completed:
        calls.append((list(argv), dict(env)))
        [junit] = [each for each in argv if each.startswith("--junit-xml=")]
        Path(junit.partition("=")[2]).write_text(JUNIT)
        return Completed(tuple(argv), 1, "", "", 1.0)

    ctx = replace(ctx, execute=execute, posargs=("--environment", "dev"), workers=4)
    outcome = OverlayTests(builds("dev", "trial", failed=["staging"])).run(ctx)
    [(argv, env)] = calls
    assert argv[1:4] == ["-m", "pytest", TESTS]
    assert "--environment" not in argv
    assert not any(each.startswith("--numprocesses") for each in argv)
    paths = [Path(each) for each in env[VARIABLE].split(os.pathsep)]
    assert [path.parent.name for path in paths] == ["dev", "trial"]
    [finding] = outcome.findings
    assert (finding.file, finding.line) == ("k8s/overlays/dev/x.env", 3)


def test_without_any_build_nothing_is_tested(ctx: CheckContext) -> None:
    outcome = OverlayTests(builds(failed=["dev"])).run(ctx)
    assert outcome.status is Status.SKIPPED


def rules() -> ModuleType:
    """Import a new copy of the module that contains the repository's own rules."""
    spec = importlib.util.spec_from_file_location("overlay_rules_of_the_lake", RULES)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_manifests_the_rules_refuse_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without manifests, pytest would silently skip the tests, so the module raises a
    usage error.
    """
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.UsageError, match="run `nox -s k8s`"):
        rules()


def written(folder: Path, **data: str) -> Path:
    """Write a file with an environment's rendered objects: a single ConfigMap with this
    data.
    """
    metadata = {"name": "settings"}
    thing = {"kind": "ConfigMap", "metadata": metadata, "data": data}
    places = [[["data", key], "x.env", line] for line, key in enumerate(data, 1)]
    folder.mkdir()
    path = folder / "rendered.json"
    objects = [{"object": thing, "places": places}]
    path.write_text(json.dumps({"objects": objects, "deleted": []}))
    return path


@pytest.mark.parametrize(
    ("engine", "lake", "refused"),
    [
        ("spark", "/lake", False),
        ("embedded", "s3://lake", False),
        ("spark", "s3://lake", True),
    ],
)
def test_spark_with_a_lake_in_a_bucket_fails_at_the_engine_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    engine: str,
    lake: str,
    refused: bool,
) -> None:
    path = written(tmp_path / "dev", LAKEKIT_LAKE=lake, LAKEKIT_ENGINE=engine)
    monkeypatch.setenv(VARIABLE, str(path))
    reported = []

    def fail(manifest: Manifest, message: str, *path: str | int) -> None:
        reported.append((manifest.place(path), message))

    module = rules()
    [environment] = module.rendered()
    assert environment.environment == "dev"
    module.test_spark_has_no_lake_in_a_bucket(environment, fail)
    assert [place for place, _ in reported] == ([("x.env", 2)] if refused else [])


def test_a_rule_that_no_configmap_is_subject_to_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = written(tmp_path / "dev", LAKEKIT_LAKE="s3://lake")
    monkeypatch.setenv(VARIABLE, str(path))
    module = rules()
    [environment] = module.rendered()
    with pytest.raises(AssertionError, match="no ConfigMap of dev has LAKEKIT_ENGINE"):
        module.test_spark_has_no_lake_in_a_bucket(environment, pytest.fail)


@pytest.fixture
def reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., list[str]]:
    """Return a function that applies a rule to objects, and returns the rule's
    messages.
    """

    def apply(rule: str, *things: Mapping[str, object]) -> list[str]:
        path = tmp_path / "dev" / "rendered.json"
        path.parent.mkdir()
        rows = [{"object": thing, "places": []} for thing in things]
        path.write_text(json.dumps({"objects": rows, "deleted": []}))
        monkeypatch.setenv(VARIABLE, str(path))
        messages: list[str] = []

        def fail(manifest: Manifest, message: str, *path: str | int) -> None:
            messages.append(message)

        module = rules()
        [environment] = module.rendered()
        getattr(module, rule)(environment, fail)
        return messages

    return apply


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [("localhost,lake.example.com", []), ("localhost", ["lake.example.com"])],
)
def test_a_host_of_the_ingress_that_the_api_refuses_is_found(
    reported: Callable[..., list[str]], allowed: str, refused: list[str]
) -> None:
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"LAKEKIT_API_ALLOWED_HOSTS": allowed},
    }
    ingress = {
        "kind": "Ingress",
        "metadata": {"name": "api"},
        "spec": {"rules": [{"host": "lake.example.com"}]},
    }
    messages = reported("test_api_answers_to_the_hosts_of_its_ingress", config, ingress)
    assert [message.split()[0] for message in messages] == refused


@pytest.mark.parametrize(
    ("probe", "found"),
    [
        ({"httpGet": {"path": "/readyz"}}, []),
        ({"httpGet": {"path": "/tables"}}, ["readinessProbe"]),
        (
            {
                "httpGet": {
                    "path": "/tables",
                    "httpHeaders": [{"name": "Host", "value": "localhost"}],
                }
            },
            [],
        ),
        (None, []),
    ],
)
def test_a_probe_that_the_api_refuses_is_found(
    reported: Callable[..., list[str]],
    probe: dict[str, object] | None,
    found: list[str],
) -> None:
    container = {"name": "api", "image": "lakekit-api:1", "readinessProbe": probe}
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    messages = reported(
        "test_probes_of_the_api_use_paths_that_answer_to_the_pod_s_address", deployment
    )
    assert [message.split()[0] for message in messages] == found


@pytest.mark.parametrize(
    ("path", "kind", "shown"),
    [
        ("/tables", "Prefix", []),
        ("/metrics", "Exact", ["/metrics"]),
        ("/metricsx", "Prefix", []),
        ("/", "Exact", []),
        ("/", "Prefix", ["/metrics", "/readyz", "/openapi.json"]),
        ("/tables", "ImplementationSpecific", ["/metrics", "/readyz", "/openapi.json"]),
    ],
)
def test_an_ingress_that_shows_a_page_of_operators_is_found(
    reported: Callable[..., list[str]], path: str, kind: str, shown: list[str]
) -> None:
    rule = {"http": {"paths": [{"path": path, "pathType": kind}]}}
    ingress = {
        "kind": "Ingress",
        "metadata": {"name": "api"},
        "spec": {"rules": [rule]},
    }
    messages = reported("test_ingress_hides_the_pages_of_operators", ingress)
    assert messages == [f"{path} makes {', '.join(shown)} public"] * bool(shown)


@pytest.mark.parametrize(("limit", "found"), [("20", 0), ("0", 1), (None, 1)])
def test_an_ingress_without_a_rate_limit_is_found(
    reported: Callable[..., list[str]], limit: str | None, found: int
) -> None:
    annotations = {"nginx.ingress.kubernetes.io/limit-rps": limit}
    ingress = {
        "kind": "Ingress",
        "metadata": {"name": "api", "annotations": annotations},
        "spec": {},
    }
    messages = reported("test_ingress_limits_the_rate_of_requests", ingress)
    assert len(messages) == found
