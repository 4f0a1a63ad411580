"""The rules for how an environment's objects go together."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.checks.kubernetes import overlay_rules
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.rule_context import Facts, Rule
from lake_ci.model.results import Finding

LEVEL = {overlay_rules.LEVEL: "restricted"}
READS = {
    "lakekit": {"LAKEKIT_ENGINE", "LAKEKIT_LAKE"},
    "lakekit-api": {"LAKEKIT_API_PORT"},
}
FACTS = Facts(None, READS, frozenset({"tokens"}), "111122223333")


def thing(kind: str, name: str, **more: Any) -> Manifest:
    labels = more.pop("labels", {})
    return Manifest(
        {"kind": kind, "metadata": {"name": name, "labels": labels}, **more},
        {(): ("x.yaml", 1)},
    )


def workload(image: str, config: str, **more: Any) -> Manifest:
    container = {
        "name": "one",
        "image": image,
        "envFrom": [{"configMapRef": {"name": config}}],
    }
    template = {
        "metadata": {"labels": {"app": "one"}},
        "spec": {"containers": [container], **more},
    }
    return thing("Deployment", "one", spec={"template": template})


def found(rule: Rule, *manifests: Manifest) -> list[Finding]:
    return list(rule("practices dev", Rendered("dev", "made.yaml", manifests), FACTS))


def messages(rule: Rule, *manifests: Manifest) -> list[str]:
    return [each.message for each in found(rule, *manifests)]


def test_traffic_is_denied_by_a_policy_that_opens_nothing() -> None:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert (
        found(overlay_rules.network, thing("NetworkPolicy", "deny", spec=closed)) == []
    )
    for spec in ({**closed, "egress": [{}]}, {**closed, "policyTypes": ["Ingress"]}):
        [said] = found(overlay_rules.network, thing("NetworkPolicy", "deny", spec=spec))
        assert (said.rule, said.file) == (
            "network-policy",
            "k8s/overlays/dev/kustomization.yaml",
        )
    assert len(found(overlay_rules.network)) == 1


def test_the_namespace_is_restricted_and_no_secret_is_written_down() -> None:
    good = thing("Namespace", "lake", labels=LEVEL)
    assert found(overlay_rules.namespace, good) == []
    bad = thing("Namespace", "lake", labels={overlay_rules.LEVEL: "baseline"})
    assert "is not restricted" in messages(overlay_rules.namespace, bad)[0]
    assert messages(overlay_rules.namespace) == ["there is no Namespace"]
    assert [
        each.rule
        for each in found(overlay_rules.namespace, good, thing("Secret", "tokens"))
    ] == ["secret"]


def test_an_account_of_another_environment_is_found_anywhere() -> None:
    lake = "s3://lake-dev-"
    assert (
        found(
            overlay_rules.account,
            thing("ConfigMap", "x", data={"A": f"{lake}111122223333"}),
        )
        == []
    )
    [said] = messages(
        overlay_rules.account,
        thing("ConfigMap", "x", data={"A": f"{lake}999988887777"}),
    )
    assert "account 999988887777, and dev's is 111122223333" in said


def test_a_setting_is_read_by_the_program_it_is_given_to() -> None:
    api = workload("r/lakekit-api:1", "settings")
    assert (
        found(
            overlay_rules.unread,
            api,
            thing("ConfigMap", "settings", data={"LAKEKIT_API_PORT": "1"}),
        )
        == []
    )
    [said] = messages(
        overlay_rules.unread,
        api,
        thing("ConfigMap", "settings", data={"LAKEKIT_LAKE": "x"}),
    )
    assert (
        said == "ConfigMap/settings: LAKEKIT_LAKE is no setting that lakekit-api reads"
    )
    processor = workload("r/lakekit-prod:1", "settings")
    assert (
        found(
            overlay_rules.unread,
            processor,
            thing("ConfigMap", "settings", data={"LAKEKIT_LAKE": "x"}),
        )
        == []
    )
    [said] = messages(
        overlay_rules.unread, thing("ConfigMap", "settings", data={"LAKEKIT_LAKE": "x"})
    )
    assert said.endswith("LAKEKIT_LAKE: no pod takes it")


@pytest.mark.parametrize(
    ("image", "engine", "lake", "words"),
    [
        ("lakekit-processor", "spark", "/lake", None),
        ("lakekit-prod", "embedded", "s3://lake", None),
        ("lakekit-processor", "spark", "s3://lake", "Spark writes to no lake on S3"),
        (
            "lakekit-processor",
            "embedded",
            "s3://lake",
            "holds the engine spark, and is told to use embedded",
        ),
        (
            "lakekit-prod",
            None,
            "/lake",
            "holds the engine embedded, and is told to use None",
        ),
    ],
)
def test_the_engine_is_the_images_and_spark_has_no_bucket(
    image: str, engine: str | None, lake: str, words: str | None
) -> None:
    data = {"LAKEKIT_LAKE": lake} | ({"LAKEKIT_ENGINE": engine} if engine else {})
    said = messages(
        overlay_rules.engine,
        workload(f"r/{image}:1", "settings"),
        thing("ConfigMap", "settings", data=data),
    )
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_what_is_named_is_there() -> None:
    volumes = [
        {"secret": {"secretName": "tokens"}},
        {"persistentVolumeClaim": {"claimName": "lake"}},
    ]
    pod = workload("x:1", "settings", serviceAccountName="one", volumes=volumes)
    there = [
        thing("ConfigMap", "settings"),
        thing("ServiceAccount", "one"),
        thing("PersistentVolumeClaim", "lake"),
    ]
    assert found(overlay_rules.references, pod, *there) == []
    assert messages(overlay_rules.references, pod, *there[1:]) == [
        "Deployment/one: there is no ConfigMap 'settings'"
    ]
    other = workload("x:1", "settings", volumes=[{"secret": {"secretName": "keys"}}])
    [said] = messages(overlay_rules.references, other, *there)
    assert "the Secret 'keys' is not listed in pyproject.toml" in said


def test_what_selects_pods_selects_some() -> None:
    pod = workload("x:1", "settings")
    service = thing("Service", "one", spec={"selector": {"app": "one"}})
    everybody = thing("NetworkPolicy", "deny", spec={"podSelector": {}})
    assert found(overlay_rules.selectors, pod, service, everybody) == []
    budget = thing(
        "PodDisruptionBudget", "one", spec={"selector": {"matchLabels": {"app": "two"}}}
    )
    [said] = messages(overlay_rules.selectors, pod, budget)
    assert said == "PodDisruptionBudget/one: no pod has the labels {'app': 'two'}"
