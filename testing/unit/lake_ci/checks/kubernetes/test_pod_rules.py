"""Each rule for pods accepts a valid pod, and reports what is missing in an invalid
pod.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, Callable

import pytest

from lake_ci.checks.kubernetes import pod_rules
from lake_ci.checks.kubernetes.image_settings import Image, Program
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.rule_context import Rule, RuleContext

CONTAINER: dict[str, Any] = {
    "name": "api",
    "image": "registry.example.com:5000/lakekit-api:1.0.0",
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "startupProbe": {},
    "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    "resources": {
        "requests": {"ephemeral-storage": 1},
        "limits": {"ephemeral-storage": 1},
    },
}
API = Program("lakekit-api", frozenset({"LAKEKIT_API_GRACE"}), "LAKEKIT_API_GRACE")
IMAGES = {"lakekit-api": Image(API)}
RULE_CONTEXT = RuleContext(frozenset(IMAGES), IMAGES, frozenset(), "111122223333")
SETTINGS = Manifest(
    {
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"LAKEKIT_API_GRACE": "20"},
    }
)


def deployment(
    change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda pod, one: None
) -> Rendered:
    """Return an environment that contains only a Deployment. First, `change` is called
    with the pod and the container of the Deployment, and may change them.
    """
    container = deepcopy(CONTAINER)
    pod = {
        "containers": [container],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
    }
    change(pod, container)
    body = {
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {"template": {"spec": pod}},
    }
    return Rendered(
        "dev", "made.yaml", (Manifest(body, {(): ("api.yaml", 1)}), SETTINGS)
    )


@pytest.mark.parametrize("rule", pod_rules.RULES, ids=lambda rule: str(rule.__name__))
def test_a_good_pod_is_not_objected_to(rule: Rule) -> None:
    assert list(rule("practices dev", deployment(), RULE_CONTEXT)) == []


@pytest.mark.parametrize(
    ("rule", "change", "name", "words"),
    [
        (
            pod_rules.startup,
            lambda pod, one: one.pop("startupProbe"),
            "missing-probe",
            "no startupProbe",
        ),
        (
            pod_rules.storage,
            lambda pod, one: one.pop("resources"),
            "missing-requests",
            "no requests of ephemeral-storage",
        ),
        (
            pod_rules.storage,
            lambda pod, one: one["resources"]["limits"].clear(),
            "missing-limits",
            "no limits of ephemeral-storage",
        ),
        (
            pod_rules.images,
            lambda pod, one: one.update(image="nginx:1.2"),
            "unknown-image",
            "the built images: lakekit-api",
        ),
        (
            pod_rules.pod_access,
            lambda pod, one: pod.update(automountServiceAccountToken=True),
            "pod-access",
            "automountServiceAccountToken is not false",
        ),
        (
            pod_rules.pod_access,
            lambda pod, one: pod.pop("enableServiceLinks"),
            "pod-access",
            "enableServiceLinks is not false",
        ),
        (
            pod_rules.grace,
            lambda pod, one: pod.update(terminationGracePeriodSeconds=25),
            "grace",
            "killed after 25 s, but may need 25 s",
        ),
    ],
)
def test_a_bad_pod_is_told_what_is_wrong(
    rule: Rule, change: Callable[[Any, Any], object], name: str, words: str
) -> None:
    found = list(rule("practices dev", deployment(change), RULE_CONTEXT))
    assert name in [each.rule for each in found]
    assert any(words in each.message for each in found)
    assert {(each.file, each.line) for each in found} == {("api.yaml", 1)}


def test_without_a_report_no_image_is_unknown() -> None:
    rendered = deployment(lambda pod, one: one.update(image="nginx:1.2"))
    context = RuleContext(None, {}, frozenset(), None)
    assert list(pod_rules.images("practices dev", rendered, context)) == []


def test_a_program_without_a_grace_of_its_own_has_the_pause_alone() -> None:
    def ends_after(seconds: int) -> Rendered:
        return deployment(
            lambda pod, one: pod.update(terminationGracePeriodSeconds=seconds)
        )

    images = {"lakekit-api": Image(Program("lakekit-api", frozenset()))}
    for context in (
        replace(RULE_CONTEXT, images=images),
        replace(RULE_CONTEXT, images={}),
    ):
        assert list(pod_rules.grace("practices dev", ends_after(6), context)) == []
        [finding] = pod_rules.grace("practices dev", ends_after(5), context)
        assert "killed after 5 s, but may need 5 s" in finding.message


def test_a_job_needs_no_probe() -> None:
    body = {
        "kind": "Job",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": {"containers": [{}]}}},
    }
    rendered = Rendered("dev", "made.yaml", (Manifest(body),))
    assert list(pod_rules.startup("practices dev", rendered, RULE_CONTEXT)) == []
