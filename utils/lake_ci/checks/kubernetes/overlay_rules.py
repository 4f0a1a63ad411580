"""The project's own rules for how the objects of an environment go together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lake_ci.checks.kubernetes.image_settings import TABLE
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered, leaves
from lake_ci.checks.kubernetes.rule_context import (
    Facts,
    Found,
    Rule,
    configs_of,
    image_of,
)

LEVEL = "pod-security.kubernetes.io/enforce"
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")
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
    """Every key of a ConfigMap is a variable that a program it is given to reads."""
    for config in rendered.of("ConfigMap"):
        images = set(given_to(rendered, config))
        programs = _programs(images, facts)
        if images and not programs:
            continue  # `undescribed` names the image
        who = " or ".join(sorted(programs))
        problem = f" is no setting that {who} reads" if who else ": no pod takes it"
        read = frozenset[str]().union(*programs.values())
        for key in config.body.get("data") or ():
            if key not in read:
                place = ("data", key)
                yield config.finding(tool, "unread-setting", f"{key}{problem}", place)


def _programs(images: Iterable[str], facts: Facts) -> dict[str, frozenset[str]]:
    """What each program of those images reads, by its name."""
    known = [facts.images[name].program for name in images if name in facts.images]
    return {program.name: program.reads for program in known}


def given_to(rendered: Rendered, config: Manifest) -> Iterator[str]:
    """The images that are given a ConfigMap as their environment."""
    for manifest in rendered.workloads():
        for _, container in manifest.containers():
            if config in configs_of(rendered, container):
                yield image_of(container)


def undescribed(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """An image that is given a ConfigMap is described in pyproject.toml: else nobody
    knows what it reads.
    """
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            name = image_of(container)
            if name not in facts.images and configs_of(rendered, container):
                message = (
                    f"[{TABLE}.images] in pyproject.toml does not say which program"
                    f" {name!r} runs"
                )
                yield manifest.finding(
                    tool, "undescribed-image", message, (*path, "image")
                )


def needed(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """An image is given the variables that it needs, with their values: the engine that
    it holds.
    """
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            name = image_of(container)
            if name not in facts.images:
                continue
            configs = configs_of(rendered, container)
            for key, value in facts.images[name].environment.items():
                given, source = _given(key, container, configs)
                if given == value:
                    continue
                message = f"{name} needs {key}={value}, and is given {given or 'none'}"
                if source is None:
                    yield manifest.finding(tool, "image-variable", message, path)
                else:
                    place = ("data", key)
                    yield source.finding(tool, "image-variable", message, place)


def _given(
    key: str, container: Mapping[str, Any], configs: Sequence[Manifest]
) -> tuple[str | None, Manifest | None]:
    """The value of a variable in a container, and the ConfigMap that has it or should
    have it; None for a variable that the container sets itself.
    """
    for each in container.get("env") or ():
        if each.get("name") == key:
            return each.get("value"), None
    # As in Kubernetes, the last of several counts.
    for config in reversed(configs):
        if key in (config.body.get("data") or {}):
            return str(config.body["data"][key]), config
    return None, configs[0] if configs else None


def references(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """What a pod, an Ingress or an autoscaler names is there; Secrets are those that
    pyproject.toml lists.
    """
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            kind = named_kind(path)
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


def named_kind(path: tuple[str | int, ...]) -> str | None:
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
    undescribed,
    needed,
    references,
    selectors,
)
