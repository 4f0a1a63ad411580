"""Defines the project's own rules for the objects of an environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from lake_ci.checks.kubernetes.image_settings import TABLE
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered, leaves
from lake_ci.checks.kubernetes.rule_context import (
    Findings,
    Rule,
    RuleContext,
    configs_of,
    image_of,
)

LEVEL = "pod-security.kubernetes.io/enforce"
# Private, shared, link-local and unique local addresses (RFC 1918, 6598, 3927, 4193).
PRIVATE = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")
# The kind of the object to which a value refers, by the end of the value's path.
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


def network(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """A NetworkPolicy denies all traffic that other policies do not allow."""
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


def egress(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """No NetworkPolicy allows traffic to all destinations or to private networks."""
    for policy in rendered.of("NetworkPolicy"):
        for number, rule in enumerate(policy.get("spec", "egress") or ()):
            path = ("spec", "egress", number)
            if not rule.get("to"):
                yield policy.finding(tool, "egress", "allows all destinations", path)
            for at, peer in enumerate(rule.get("to") or ()):
                block = peer.get("ipBlock")
                ranges = ", ".join(_private_ranges(block)) if block else ""
                if ranges:
                    yield policy.finding(
                        tool,
                        "egress",
                        f"{block['cidr']} allows private addresses: {ranges}; exclude"
                        " them, or select pods by their labels",
                        (*path, "to", at, "ipBlock", "cidr"),
                    )


def _private_ranges(block: Mapping[str, Any]) -> Iterator[str]:
    """Yield each private address range that an `ipBlock` allows as a whole.

    An `ipBlock` may contain a part of a private range, such as the address of an
    endpoint.
    """
    for private in PRIVATE:
        excluded = any(_contains(each, private) for each in block.get("except") or ())
        if _contains(block["cidr"], private) and not excluded:
            yield private


def _contains(outer: str, inner: str) -> bool:
    one, two = ip_network(outer), ip_network(inner)
    return (
        one.version == two.version
        and int(one.network_address) <= int(two.network_address)
        and int(one.broadcast_address) >= int(two.broadcast_address)
    )


def namespace(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """The namespace enforces the level `restricted`; the overlay has no Secret."""
    spaces = list(rendered.of("Namespace"))
    if not spaces:
        yield rendered.missing(
            tool, "pod-security", "Namespace is missing", "Namespace"
        )
    for space in spaces:
        if space.get("metadata", "labels", LEVEL) != "restricted":
            path = ("metadata", "labels", LEVEL)
            yield space.finding(
                tool, "pod-security", f"{LEVEL} is not restricted", path
            )
    for secret in rendered.of("Secret"):
        yield secret.finding(
            tool,
            "secret",
            "do not commit a Secret: create it by hand, and refer to it by its name",
        )


def account(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each account number is the number of the environment's account in terraform/."""
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            for number in ACCOUNT.findall(str(value)):
                if number != context.account:
                    message = (
                        f"{value} has account {number}, but the account of"
                        f" {rendered.environment} is {context.account}"
                    )
                    yield manifest.finding(tool, "account", message, path)


def unread(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each key of a ConfigMap is a variable that the pods' programs read."""
    for config in rendered.of("ConfigMap"):
        images = set(given_to(rendered, config))
        programs = _programs(images, context)
        if images and not programs:
            continue  # the rule `undescribed` reports this image
        who = " or ".join(sorted(programs))
        problem = f" is not read by {who}" if who else ": no pod uses it"
        read = frozenset[str]().union(*programs.values())
        for key in config.body.get("data") or ():
            if key not in read:
                place = ("data", key)
                yield config.finding(tool, "unread-setting", f"{key}{problem}", place)


def _programs(images: Iterable[str], context: RuleContext) -> dict[str, frozenset[str]]:
    """Return the variables that the programs of these images read, by program."""
    known = [context.images[name].program for name in images if name in context.images]
    return {program.name: program.reads for program in known}


def given_to(rendered: Rendered, config: Manifest) -> Iterator[str]:
    """Yield the image of each container that gets variables from this ConfigMap."""
    for manifest in rendered.workloads():
        for _, container in manifest.containers():
            if config in configs_of(rendered, container):
                yield image_of(container)


def undescribed(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """pyproject.toml has an entry for each image that gets a ConfigMap."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            name = image_of(container)
            if name not in context.images and configs_of(rendered, container):
                message = (
                    f"[{TABLE}.images] in pyproject.toml has no program for the image"
                    f" {name!r}"
                )
                yield manifest.finding(
                    tool, "undescribed-image", message, (*path, "image")
                )


def needed(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each container gets the variables and values that the container's image needs."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            name = image_of(container)
            if name not in context.images:
                continue
            configs = configs_of(rendered, container)
            for key, value in context.images[name].environment.items():
                given, source = _given(key, container, configs)
                if given == value:
                    continue
                message = f"{name} needs {key}={value}, but gets {given or 'none'}"
                if source is None:
                    yield manifest.finding(tool, "image-variable", message, path)
                else:
                    place = ("data", key)
                    yield source.finding(tool, "image-variable", message, place)


def _given(
    key: str, container: Mapping[str, Any], configs: Sequence[Manifest]
) -> tuple[str | None, Manifest | None]:
    """Return a variable's value in a container, and the ConfigMap with the value.

    If the container itself sets the variable, the ConfigMap is None. If nothing sets
    the variable, the value is None, and the function returns the ConfigMap that should
    set the variable.
    """
    for each in container.get("env") or ():
        if each.get("name") == key:
            return each.get("value"), None
    # If several ConfigMaps set a variable, the last one has precedence, as in
    # Kubernetes.
    for config in reversed(configs):
        if key in (config.body.get("data") or {}):
            return str(config.body["data"][key]), config
    return None, configs[0] if configs else None


def references(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each referenced object exists; each referenced Secret is in pyproject.toml."""
    for manifest in rendered.manifests:
        for path, value in leaves(manifest.body):
            kind = named_kind(path)
            if kind is None or (kind == "Secret" and value in context.secrets):
                continue
            if kind == "Secret":
                message = (
                    f"the Secret {value!r} is not listed in pyproject.toml as created"
                    " by hand"
                )
                yield manifest.finding(tool, "reference", message, path)
            elif rendered.named(kind, str(value)) is None:
                yield manifest.finding(
                    tool, "reference", f"{kind} {value!r} does not exist", path
                )


def named_kind(path: tuple[str | int, ...]) -> str | None:
    """Return the kind of the object that the value at a path refers to, or None."""
    end = ".".join(map(str, path[-2:]))
    return NAMING.get(end) or NAMING.get(end.rpartition(".")[2])


def selectors(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each selector of a Service, disruption budget or NetworkPolicy matches a pod."""
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
    egress,
    namespace,
    account,
    unread,
    undescribed,
    needed,
    references,
    selectors,
)
