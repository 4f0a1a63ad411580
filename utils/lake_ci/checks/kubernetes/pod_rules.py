"""Defines the project's own rules for pods, in addition to checkov's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake_ci.checks.kubernetes.manifests import Rendered
from lake_ci.checks.kubernetes.rule_context import (
    Findings,
    Rule,
    RuleContext,
    configs_of,
    image_of,
    short_name,
)

STORAGE = "ephemeral-storage"


def startup(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each container of a service has a startup probe."""
    for manifest in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        for path, container in manifest.containers():
            if path[-2] == "containers" and "startupProbe" not in container:
                yield manifest.finding(tool, "missing-probe", "no startupProbe", path)


def storage(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """Each container has a request and a limit for ephemeral storage."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            for kind in ("requests", "limits"):
                if STORAGE not in ((container.get("resources") or {}).get(kind) or {}):
                    place = (*path, "resources", kind)
                    message = f"no {kind} of {STORAGE}"
                    yield manifest.finding(tool, f"missing-{kind}", message, place)


def images(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """The docker session has built the image of each container."""
    if context.built is None:
        return
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            image = short_name(str(container.get("image", "")))
            if image not in context.built:
                names = ", ".join(sorted(context.built))
                message = f"{image!r} is not one of the built images: {names}"
                place = (*path, "image")
                yield manifest.finding(tool, "unknown-image", message, place)


def pod_access(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """A pod gets neither a service account token nor the variables of Services."""
    # checkov checks the service account token, too, but does not report the line of the
    # finding.
    for manifest in rendered.workloads():
        spec = (*(manifest.pod or ()), "spec")
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if manifest.get(*spec, name) is not False:
                message = f"{name} is not false"
                yield manifest.finding(tool, "pod-access", message, (*spec, name))


def grace(tool: str, rendered: Rendered, context: RuleContext) -> Findings:
    """A pod's grace period is long enough for the preStop pause and the shutdown."""
    for manifest in rendered.of("Deployment"):
        for path, container in manifest.containers():
            pause = manifest.get(*path, "lifecycle", "preStop", "sleep", "seconds") or 0
            spec = (*(manifest.pod or ()), "spec", "terminationGracePeriodSeconds")
            given = manifest.get(*spec) or 30
            needed = pause + _seconds_to_end(rendered, container, context)
            if given <= needed:
                message = f"killed after {given} s, but may need {needed:g} s to stop"
                yield manifest.finding(tool, "grace", message, spec)


def _seconds_to_end(
    rendered: Rendered, container: Mapping[str, Any], context: RuleContext
) -> float:
    """Return the seconds that a container may take to shut down.

    The container's ConfigMaps set this shutdown time. `Program.grace` is the name of
    the variable for this time.
    """
    image = context.images.get(image_of(container))
    if image is None or image.program.grace is None:
        return 0.0
    configs = configs_of(rendered, container)
    values = [each.get("data", image.program.grace) for each in configs]
    return max((float(each) for each in values if each), default=0.0)


RULES: tuple[Rule, ...] = (startup, storage, images, pod_access, grace)
