"""The project's own rules for what runs in a pod."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lake_ci.checks.kubernetes.manifests import Rendered
from lake_ci.checks.kubernetes.rule_context import (
    Facts,
    Found,
    Rule,
    configs_of,
    image_of,
    last,
)

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
AMOUNTS = ("cpu", "memory", "ephemeral-storage")
TAGGED = re.compile(
    r"(?P<name>[^:@]+(?::\d+/[^:@]+)?)(?::(?P<tag>[\w.-]+))?"
    r"(?P<digest>@sha256:[0-9a-f]{64})?"
)
# What a container may not, and what it has to leave alone.
HARDENED: Mapping[tuple[str, ...], Any] = {
    ("allowPrivilegeEscalation",): False,
    ("readOnlyRootFilesystem",): True,
    ("capabilities", "drop"): ["ALL"],
}


def probes(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container that serves is asked whether it has started, is ready, and lives."""
    for manifest in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        for path, container in manifest.containers():
            if path[-2] == "containers":
                for probe in PROBES:
                    if probe not in container:
                        yield manifest.finding(
                            tool, "missing-probe", f"no {probe}", path
                        )


def limits(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container says what it needs, and what it may take."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            for kind in ("requests", "limits"):
                given = (container.get("resources") or {}).get(kind) or {}
                absent = [amount for amount in AMOUNTS if amount not in given]
                if absent:
                    message = f"no {kind} of {', '.join(absent)}"
                    yield manifest.finding(
                        tool, f"missing-{kind}", message, (*path, "resources", kind)
                    )


def images(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """An image has a tag that stays what it is, and is one that the docker session
    builds.
    """
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            image = str(container.get("image", ""))
            match = TAGGED.fullmatch(image)
            tag = match["tag"] if match else None
            place = (*path, "image")
            if not match or (match["digest"] is None and tag in (None, "latest")):
                message = f"{image!r} says another thing every day; name a release"
                yield manifest.finding(tool, "latest", message, place)
            if facts.built is not None and last(image) not in facts.built:
                names = ", ".join(sorted(facts.built))
                message = (
                    f"{last(image)!r} is none of the images that were built: {names}"
                )
                yield manifest.finding(tool, "unknown-image", message, place)


def hardened(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container can gain nothing and writes to its volumes only; a pod is told
    neither token nor neighbours.
    """
    for manifest in rendered.workloads():
        spec = (*(manifest.pod or ()), "spec")
        for path, container in manifest.containers():
            context = (*path, "securityContext")
            if (container.get("securityContext") or {}).get("privileged"):
                yield manifest.finding(
                    tool,
                    "privileged",
                    "a privileged container",
                    (*context, "privileged"),
                )
            for setting, wanted in HARDENED.items():
                if manifest.get(*context, *setting) != wanted:
                    message = (
                        f"securityContext.{'.'.join(setting)} is not"
                        f" {json.dumps(wanted)}"
                    )
                    yield manifest.finding(
                        tool, "security-context", message, (*context, *setting)
                    )
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if manifest.get(*spec, name) is not False:
                yield manifest.finding(
                    tool, "security-context", f"{name} is not false", (*spec, name)
                )


def grace(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A pod is not killed before its program has ended by itself, and the pause before
    that.
    """
    for manifest in rendered.of("Deployment"):
        for path, container in manifest.containers():
            pause = manifest.get(*path, "lifecycle", "preStop", "sleep", "seconds") or 0
            spec = (*(manifest.pod or ()), "spec", "terminationGracePeriodSeconds")
            given = manifest.get(*spec) or 30
            needed = pause + _seconds_to_end(rendered, container, facts)
            if given <= needed:
                message = (
                    f"killed after {given} s,"
                    f" and may need {needed:g} s to end by itself"
                )
                yield manifest.finding(tool, "grace", message, spec)


def _seconds_to_end(
    rendered: Rendered, container: Mapping[str, Any], facts: Facts
) -> float:
    """What the variable that is the `grace` of the image's program says."""
    image = facts.images.get(image_of(container))
    if image is None or image.program.grace is None:
        return 0.0
    configs = configs_of(rendered, container)
    said = [each.get("data", image.program.grace) for each in configs]
    return max((float(each) for each in said if each), default=0.0)


RULES: tuple[Rule, ...] = (probes, limits, images, hardened, grace)
