"""The project's own rules for how the objects of an environment go together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lake_ci.checks.kubernetes.manifests import Rendered, leaves
from lake_ci.checks.kubernetes.rule_context import Facts, Found, Rule, last

LEVEL = "pod-security.kubernetes.io/enforce"
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")
# What the images run that are named after something else, `lakekit-prod` and
# `lakekit-processor`.
DEFAULT_PROGRAM = "lakekit"
# The engine that an image holds, where it holds but one.
ENGINES = {"lakekit-prod": "embedded", "lakekit-processor": "spark"}
# By the end of its path, a value that is another object's name.
NAMING = {
    "serviceAccountName": "ServiceAccount",
    "secretName": "Secret",
    "claimName": "PersistentVolumeClaim",
    "configMapRef.name": "ConfigMap",
    "configMapKeyRef.name": "ConfigMap",
    "configMap.name": "ConfigMap",
    "secretRef.name": "Secret",
    "secretKeyRef.name": "Secret",
    "service.name": "Service",
    "scaleTargetRef.name": "Deployment",
}


def network(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """All traffic is denied that no other policy allows."""
    for policy in rendered.of("NetworkPolicy"):
        spec = policy.body["spec"]
        closed = (
            not spec.get("ingress")
            and not spec.get("egress")
            and not spec.get("podSelector")
        )
        if closed and {"Ingress", "Egress"} <= set(spec.get("policyTypes", ())):
            return
    message = "no NetworkPolicy denies all traffic of all pods, in and out"
    yield rendered.missing(tool, "network-policy", message, "NetworkPolicy")


def namespace(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """The namespace holds its pods to the strictest level, and no Secret is written
    down.
    """
    spaces = list(rendered.of("Namespace"))
    if not spaces:
        yield rendered.missing(
            tool, "pod-security", "there is no Namespace", "Namespace"
        )
    for space in spaces:
        if space.get("metadata", "labels", LEVEL) != "restricted":
            path = ("metadata", "labels", LEVEL)
            yield space.finding(
                tool, "pod-security", f"{LEVEL} is not restricted", path
            )
    for secret in rendered.of("Secret"):
        yield secret.finding(
            tool, "secret", "a Secret is referenced, and never committed"
        )


def account(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """Buckets and roles are of the environment's own account, as terraform/ has it."""
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            for number in ACCOUNT.findall(str(value)):
                if number != facts.account:
                    message = (
                        f"{value}: account {number}, and {rendered.environment}'s is"
                        f" {facts.account}"
                    )
                    yield manifest.finding(tool, "account", message, path)


def unread(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """Every key of a ConfigMap is a variable that the program it is given to reads; an
    image is named after that.
    """
    for config in rendered.of("ConfigMap"):
        images = set(given_to(rendered, config.name))
        programs = {
            image if image in facts.reads else DEFAULT_PROGRAM for image in images
        }
        who = " or ".join(sorted(programs))
        for key in config.body.get("data", ()):
            if not any(key in facts.reads[program] for program in programs):
                message = (
                    f"{key} is no setting that {who} reads"
                    if programs
                    else f"{key}: no pod takes it"
                )
                yield config.finding(tool, "unread-setting", message, ("data", key))


def given_to(rendered: Rendered, config: str) -> Iterator[str]:
    """The images that are given a ConfigMap as their environment."""
    for manifest in rendered.workloads():
        for _, container in manifest.containers():
            if config in [
                each.get("configMapRef", {}).get("name")
                for each in container.get("envFrom", ())
            ]:
                yield last(str(container.get("image", "")))


def engine(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A processor's engine is the one its image holds; and it is not Spark where the
    lake is in a bucket.

    lakekit refuses that for want of a log store that can put-if-absent.
    """
    for config in rendered.of("ConfigMap"):
        data = config.body.get("data", {})
        chosen = data.get("LAKEKIT_ENGINE")
        place = ("data", "LAKEKIT_ENGINE")
        if chosen == "spark" and str(data.get("LAKEKIT_LAKE")).startswith("s3"):
            message = (
                "Spark writes to no lake on S3 outside Databricks;"
                " the engine there is `embedded`"
            )
            yield config.finding(tool, "engine", message, place)
        for image in sorted(set(given_to(rendered, config.name))):
            if image in ENGINES and chosen != ENGINES[image]:
                message = (
                    f"{image} holds the engine {ENGINES[image]},"
                    f" and is told to use {chosen}"
                )
                yield config.finding(tool, "engine", message, place)


def references(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """What a pod, an Ingress or an autoscaler names is there; Secrets are those that
    pyproject.toml lists.
    """
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            kind = _named_kind(path)
            if kind is None or (kind == "Secret" and value in facts.secrets):
                continue
            if kind == "Secret":
                message = (
                    f"the Secret {value!r} is not listed in pyproject.toml as one that"
                    " is made by hand"
                )
                yield manifest.finding(tool, "reference", message, path)
            elif rendered.named(kind, str(value)) is None:
                yield manifest.finding(
                    tool, "reference", f"there is no {kind} {value!r}", path
                )


def _named_kind(path: tuple[str | int, ...]) -> str | None:
    """What kind of object the value at a path names."""
    end = ".".join(map(str, path[-2:]))
    return NAMING.get(end) or NAMING.get(end.rpartition(".")[2])


def selectors(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """What selects pods selects some: a Service, a PodDisruptionBudget or a
    NetworkPolicy of nobody is a slip.
    """
    pods = [
        each.get(*(each.pod or ()), "metadata", "labels") or {}
        for each in rendered.workloads()
    ]
    paths = {
        "Service": ("spec", "selector"),
        "PodDisruptionBudget": ("spec", "selector", "matchLabels"),
        "NetworkPolicy": ("spec", "podSelector", "matchLabels"),
    }
    for manifest in rendered.of(*paths):
        path = paths[manifest.kind]
        wanted = manifest.get(*path) or {}
        if wanted and not any(wanted.items() <= labels.items() for labels in pods):
            yield manifest.finding(
                tool, "selects-nothing", f"no pod has the labels {dict(wanted)}", path
            )


RULES: tuple[Rule, ...] = (
    network,
    namespace,
    account,
    unread,
    engine,
    references,
    selectors,
)
