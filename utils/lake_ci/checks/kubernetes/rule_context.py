"""Defines the type of a rule for manifests, and the context of rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake_ci.checks.kubernetes.image_settings import Image
from lake_ci.checks.kubernetes.manifests import Manifest, Rendered
from lake_ci.model.results import Finding, incomplete

IMAGES = "reports/docker/images.json"


@dataclass(frozen=True)
class RuleContext:
    """The data that rules need in addition to the manifests.

    Attributes:
        built: the names of the images that the docker session built; None if the
            session has no report, or built only some images.
        images: the images that pyproject.toml describes, by name.
        secrets: the names of the Secrets that people or an operator create.
        account: the cloud account of the environment.
    """

    built: frozenset[str] | None
    images: Mapping[str, Image]
    secrets: frozenset[str]
    account: str | None


Findings = Iterator[Finding]
# A rule is a function that gets the name of a row, the objects of an environment, and
# the context. The function's docstring states the requirement.
Rule = Callable[[str, Rendered, RuleContext], Findings]


def not_compared(root: Path) -> str | None:
    """Return why the list of built images is missing or incomplete, or None."""
    path = root / IMAGES
    if not path.exists():
        return f"{IMAGES} is missing"
    return incomplete(path.parent)


def built(root: Path) -> frozenset[str] | None:
    """Return the names of all built images; a name has neither registry nor tag.

    The result is None if the docker session has no report, or built only some images.
    """
    if not_compared(root) is not None:
        return None
    rows = json.loads((root / IMAGES).read_text(encoding="utf-8"))
    return frozenset(short_name(row["name"]) for row in rows)


def short_name(image: str) -> str:
    """Return an image's name without registry, tag and digest."""
    return re.split(r"[:@]", image.rpartition("/")[2])[0]


def image_of(container: Mapping[str, Any]) -> str:
    """Return the name of a container's image."""
    return short_name(str(container.get("image", "")))


def configs_of(rendered: Rendered, container: Mapping[str, Any]) -> list[Manifest]:
    """Return the ConfigMaps that set a container's environment variables."""
    names = [
        each.get("configMapRef", {}).get("name")
        for each in container.get("envFrom") or ()
    ]
    found = [rendered.named("ConfigMap", name) for name in names if name]
    return [each for each in found if each]
