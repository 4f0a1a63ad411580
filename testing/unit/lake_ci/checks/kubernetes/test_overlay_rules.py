"""The rules check how the objects of an environment relate to each other."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.checks.kubernetes import overlay_rules
from lake_ci.checks.kubernetes.image_settings import Image, Program
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.checks.kubernetes.rule_context import Rule, RuleContext
from lake_ci.model.results import Finding

LEVEL = {overlay_rules.LEVEL: "restricted"}
SHOP = Program("shop", frozenset({"SHOP_ENGINE", "SHOP_LAKE"}))
IMAGES = {
    "shop-api": Image(Program("shop-api", frozenset({"SHOP_API_PORT"}))),
    "shop-nightly": Image(SHOP, {"SHOP_ENGINE": "spark"}),
    "shop-hourly": Image(SHOP, {"SHOP_ENGINE": "embedded"}),
}
RULE_CONTEXT = RuleContext(None, IMAGES, frozenset({"tokens"}), "111122223333")


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
    return list(
        rule("practices dev", Rendered("dev", "made.yaml", manifests), RULE_CONTEXT)
    )


def messages(rule: Rule, *manifests: Manifest) -> list[str]:
    return [each.message for each in found(rule, *manifests)]


def test_traffic_is_denied_by_a_policy_that_opens_nothing() -> None:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert (
        found(overlay_rules.network, thing("NetworkPolicy", "deny", spec=closed)) == []
    )
    for spec in ({**closed, "egress": [{}]}, {**closed, "policyTypes": ["Ingress"]}):
        [finding] = found(
            overlay_rules.network, thing("NetworkPolicy", "deny", spec=spec)
        )
        assert (finding.rule, finding.file) == (
            "network-policy",
            "k8s/overlays/dev/kustomization.yaml",
        )
    assert len(found(overlay_rules.network)) == 1


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        ({"to": [{"podSelector": {}}]}, []),
        ({"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}, []),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, ["10.0.0.0/8"]),
        (
            {"to": [{"ipBlock": {"cidr": "172.0.0.0/8", "except": ["172.0.0.0/9"]}}]},
            [],
        ),
        ({"to": [{"ipBlock": {"cidr": "172.0.0.0/11"}}]}, ["172.16.0.0/12"]),
        ({"to": [{"ipBlock": {"cidr": "::/0"}}]}, ["fc00::/7", "fe80::/10"]),
        ({"ports": [{"port": 443}]}, ["all destinations"]),
    ],
)
def test_egress_opens_no_private_range(rule: dict[str, Any], opened: list[str]) -> None:
    policy = thing("NetworkPolicy", "out", spec={"egress": [rule]})
    findings = found(overlay_rules.egress, policy)
    assert [(each.rule, each.file) for each in findings] == (
        [("egress", "x.yaml")] if opened else []
    )
    assert all(text in each.message for each in findings for text in opened)


def test_the_namespace_is_restricted_and_no_secret_is_written_down() -> None:
    good = thing("Namespace", "lake", labels=LEVEL)
    assert found(overlay_rules.namespace, good) == []
    bad = thing("Namespace", "lake", labels={overlay_rules.LEVEL: "baseline"})
    assert "is not restricted" in messages(overlay_rules.namespace, bad)[0]
    assert messages(overlay_rules.namespace) == ["Namespace is missing"]
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
    [message] = messages(
        overlay_rules.account,
        thing("ConfigMap", "x", data={"A": f"{lake}999988887777"}),
    )
    assert "account 999988887777, but the account of dev is 111122223333" in message


def settings(**data: str) -> Manifest:
    return thing("ConfigMap", "settings", data=data)


def test_a_setting_is_read_by_the_program_it_is_given_to() -> None:
    api = workload("r/shop-api:1", "settings")
    assert found(overlay_rules.unread, api, settings(SHOP_API_PORT="1")) == []
    lake = settings(SHOP_LAKE="x")
    [message] = messages(overlay_rules.unread, api, lake)
    assert message == "ConfigMap/settings: SHOP_LAKE is not read by shop-api"
    nightly = workload("r/shop-nightly:1", "settings")
    assert found(overlay_rules.unread, nightly, lake) == []
    assert found(overlay_rules.unread, api, nightly, lake) == []
    [message] = messages(overlay_rules.unread, lake)
    assert message.endswith("SHOP_LAKE: no pod uses it")


def test_an_image_with_settings_that_nobody_describes_is_found() -> None:
    other = workload("r/shop-other:1", "settings")
    lake = settings(SHOP_LAKE="x")
    [finding] = found(overlay_rules.undescribed, other, lake)
    assert (finding.rule, finding.file, finding.line) == (
        "undescribed-image",
        "x.yaml",
        1,
    )
    assert "has no program for the image 'shop-other'" in finding.message
    assert found(overlay_rules.unread, other, lake) == []
    assert found(overlay_rules.undescribed, other) == []
    known = workload("r/shop-api:1", "settings")
    assert found(overlay_rules.undescribed, known, lake) == []


@pytest.mark.parametrize(
    ("image", "engine", "words"),
    [
        ("shop-nightly", "spark", None),
        ("shop-hourly", "embedded", None),
        ("shop-api", None, None),
        ("shop-other", "spark", None),
        (
            "shop-nightly",
            "embedded",
            "shop-nightly needs SHOP_ENGINE=spark, but gets embedded",
        ),
        (
            "shop-hourly",
            None,
            "shop-hourly needs SHOP_ENGINE=embedded, but gets none",
        ),
    ],
)
def test_an_image_is_given_what_it_needs_at_the_line_of_the_value(
    image: str, engine: str | None, words: str | None
) -> None:
    data = {"SHOP_LAKE": "/lake"} | ({"SHOP_ENGINE": engine} if engine else {})
    config = Manifest(
        {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data},
        {(): ("x.yaml", 1), ("data", "SHOP_ENGINE"): ("shop.env", 7)},
    )
    findings = found(overlay_rules.needed, workload(f"r/{image}:1", "settings"), config)
    assert [(each.rule, each.file, each.line) for each in findings] == (
        [("image-variable", "shop.env", 7)] if words else []
    )
    assert words is None or findings[0].message == f"ConfigMap/settings: {words}"


def test_an_image_may_be_given_what_it_needs_by_its_container() -> None:
    pod = workload("r/shop-nightly:1", "settings")
    [container] = pod.body["spec"]["template"]["spec"]["containers"]
    del container["envFrom"]
    [message] = messages(overlay_rules.needed, pod)
    assert message.startswith("Deployment/one: shop-nightly needs SHOP_ENGINE=spark")
    container["env"] = [{"name": "SHOP_ENGINE", "value": "spark"}]
    assert found(overlay_rules.needed, pod) == []
    container["env"] = [{"name": "SHOP_ENGINE", "value": "embedded"}]
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    [message] = messages(overlay_rules.needed, pod, settings(SHOP_ENGINE="spark"))
    assert "but gets embedded" in message


def test_the_last_of_several_configmaps_counts() -> None:
    pod = workload("r/shop-nightly:1", "settings")
    [container] = pod.body["spec"]["template"]["spec"]["containers"]
    container["envFrom"].append({"configMapRef": {"name": "more"}})
    more = thing("ConfigMap", "more", data={"SHOP_ENGINE": "embedded"})
    [message] = messages(overlay_rules.needed, pod, settings(SHOP_ENGINE="spark"), more)
    assert message.startswith("ConfigMap/more: ")


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
        "Deployment/one: ConfigMap 'settings' does not exist"
    ]
    other = workload("x:1", "settings", volumes=[{"secret": {"secretName": "keys"}}])
    [message] = messages(overlay_rules.references, other, *there)
    assert "the Secret 'keys' is not listed in pyproject.toml" in message


def test_what_selects_pods_selects_some() -> None:
    pod = workload("x:1", "settings")
    service = thing("Service", "one", spec={"selector": {"app": "one"}})
    everybody = thing("NetworkPolicy", "deny", spec={"podSelector": {}})
    assert found(overlay_rules.selectors, pod, service, everybody) == []
    budget = thing(
        "PodDisruptionBudget", "one", spec={"selector": {"matchLabels": {"app": "two"}}}
    )
    [message] = messages(overlay_rules.selectors, pod, budget)
    assert message == "PodDisruptionBudget/one: no pod has the labels {'app': 'two'}"
