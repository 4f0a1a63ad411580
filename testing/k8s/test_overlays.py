"""Tests that the overlays satisfy the rules of this lake. Before an apply, the tests
find settings that lakekit would reject at runtime.

`nox -s k8s` runs these tests over the rendered overlays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.kubernetes.manifests import Manifest, Rendered

# The session sets this variable in `utils/lake_ci/checks/kubernetes/overlay_tests.py`.
VARIABLE = "LAKE_CI_RENDERED"
ENGINE = "LAKEKIT_ENGINE"
LAKE = "LAKEKIT_LAKE"
HOSTS = "LAKEKIT_API_ALLOWED_HOSTS"
API = "lakekit-api"
EXEMPT = {"/healthz", "/readyz"}
"""Paths of the API that allow every Host header, even the address of a pod."""
HIDDEN = ("/metrics", "/readyz", "/openapi.json")
RATE = "nginx.ingress.kubernetes.io/limit-rps"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
Fail = Callable[..., None]


def rendered() -> list[Rendered]:
    """Return the environments that the session rendered."""
    files = os.environ.get(VARIABLE)
    if not files:
        raise pytest.UsageError(
            f"{VARIABLE} names no rendered manifests; run `nox -s k8s`"
        )
    return [
        Rendered.from_json(path.parent.name, str(path), path.read_text("utf-8"))
        for path in map(Path, files.split(os.pathsep))
    ]


@pytest.fixture
def fail(record_property: Callable[[str, object], None]) -> Fail:
    """Return a function that fails the test, and reports the line of a value."""

    def at(manifest: Manifest, message: str, *path: str | int) -> None:
        file, line = manifest.place(path)
        record_property("place", f"{file}:{line}")
        pytest.fail(f"{manifest.id}: {message}", pytrace=False)

    return at


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_spark_has_no_lake_in_a_bucket(environment: Rendered, fail: Fail) -> None:
    """Outside Databricks, Spark has no log store with put-if-absent on S3."""
    configs = [each for each in environment.of("ConfigMap") if each.get("data", ENGINE)]
    assert configs, f"no ConfigMap of {environment.environment} has {ENGINE}"
    for config in configs:
        in_bucket = str(config.get("data", LAKE)).startswith("s3")
        if config.get("data", ENGINE) == "spark" and in_bucket:
            fail(
                config,
                "Spark writes to no lake on S3 outside Databricks;"
                " the engine there is `embedded`",
                "data",
                ENGINE,
            )


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_api_answers_to_the_hosts_of_its_ingress(
    environment: Rendered, fail: Fail
) -> None:
    """The API refuses a request unless LAKEKIT_API_ALLOWED_HOSTS contains the request's
    Host header.
    """
    configs = [each for each in environment.of("ConfigMap") if each.get("data", HOSTS)]
    assert configs, f"no ConfigMap of {environment.environment} has {HOSTS}"
    for config in configs:
        allowed = str(config.get("data", HOSTS)).split(",")
        for ingress in environment.of("Ingress"):
            for rule in ingress.get("spec", "rules") or ():
                if rule.get("host") not in allowed:
                    message = f"{rule.get('host')} of {ingress.id} is not in {HOSTS}"
                    fail(config, message, "data", HOSTS)


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_ingress_hides_the_pages_of_operators(
    environment: Rendered, fail: Fail
) -> None:
    """Only clients in the cluster may get metrics, the state of the tables and the
    API's description.
    """
    for ingress in environment.of("Ingress"):
        for number, rule in enumerate(ingress.get("spec", "rules") or ()):
            for at, each in enumerate(rule["http"]["paths"]):
                shown = [page for page in HIDDEN if is_routed(page, each)]
                if shown:
                    message = f"{each['path']} makes {', '.join(shown)} public"
                    place = ("spec", "rules", number, "http", "paths", at, "path")
                    fail(ingress, message, *place)


def is_routed(page: str, path: dict[str, str]) -> bool:
    """Return whether a path of an Ingress matches a page.

    Some controllers treat a path of the type `ImplementationSpecific` as a regular
    expression, so the path may match any page.
    """
    kind, prefix = path["pathType"], path["path"].rstrip("/")
    if kind == "Exact":
        return page == path["path"]
    return kind != "Prefix" or f"{page}/".startswith(f"{prefix}/")


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_ingress_limits_the_rate_of_requests(environment: Rendered, fail: Fail) -> None:
    """One client must not be able to keep the API busy for all clients."""
    for ingress in environment.of("Ingress"):
        limit = ingress.get("metadata", "annotations", RATE)
        if not str(limit).isdecimal() or int(limit) < 1:
            fail(ingress, f"{RATE} is {limit}", "metadata", "annotations", RATE)


@pytest.mark.parametrize("environment", rendered(), ids=lambda each: each.environment)
def test_probes_of_the_api_use_paths_that_answer_to_the_pod_s_address(
    environment: Rendered, fail: Fail
) -> None:
    """Without a Host header of its own, a probe sends the pod's address, which most
    paths refuse.
    """
    checked = 0
    for workload in environment.workloads():
        for path, container in workload.containers():
            if API not in str(container["image"]):
                continue
            checked += 1
            for probe in PROBES:
                # A missing probe is not an error in this test, because checkov reports
                # it.
                request = (container.get(probe) or {}).get("httpGet")
                if request is None or request.get("path") in EXEMPT:
                    continue
                headers = request.get("httpHeaders", ())
                if not any(each["name"].lower() == "host" for each in headers):
                    message = f"{probe} gets 421: use {' or '.join(sorted(EXEMPT))}"
                    fail(workload, message, *path, probe, "httpGet", "path")
    assert checked, f"no container of {environment.environment} runs {API}"
