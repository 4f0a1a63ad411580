"""The project's own rules for what runs in a pod, where checkov and the namespace's
level have none.
"""

from __future__ import annotations

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

STORAGE = "ephemeral-storage"


def startup(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container that serves is asked whether it has started."""
    for manifest in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        for path, container in manifest.containers():
            if path[-2] == "containers" and "startupProbe" not in container:
                yield manifest.finding(tool, "missing-probe", "no startupProbe", path)


def storage(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A container says how much of the node's disk it needs, and may take."""
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            for kind in ("requests", "limits"):
                if STORAGE not in ((container.get("resources") or {}).get(kind) or {}):
                    place = (*path, "resources", kind)
                    message = f"no {kind} of {STORAGE}"
                    yield manifest.finding(tool, f"missing-{kind}", message, place)


def images(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """An image is one that the docker session builds."""
    if facts.built is None:
        return
    for manifest in rendered.workloads():
        for path, container in manifest.containers():
            image = last(str(container.get("image", "")))
            if image not in facts.built:
                names = ", ".join(sorted(facts.built))
                message = f"{image!r} is none of the images that were built: {names}"
                place = (*path, "image")
                yield manifest.finding(tool, "unknown-image", message, place)


def isolated(tool: str, rendered: Rendered, facts: Facts) -> Found:
    """A pod gets neither a token of the cluster nor the names of the services beside
    it.
    """
    # checkov asks for the first as well, but names the object, not the line.
    for manifest in rendered.workloads():
        spec = (*(manifest.pod or ()), "spec")
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if manifest.get(*spec, name) is not False:
                message = f"{name} is not false"
                yield manifest.finding(tool, "pod-access", message, (*spec, name))


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


RULES: tuple[Rule, ...] = (startup, storage, images, isolated, grace)
