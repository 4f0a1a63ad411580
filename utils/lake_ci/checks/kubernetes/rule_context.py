"""What the rules for manifests know beside the manifests, and what a rule is."""

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
class Facts:
    """What the rules know beside the manifests.

    Attributes:
        built: the names of the images that the docker session built; None where it left
            no report of all of them.
        images: what pyproject.toml says of images, by name.
        secrets: the Secrets that people make by hand, or an operator does.
        account: the cloud account of the environment.
    """

    built: frozenset[str] | None
    images: Mapping[str, Image]
    secrets: frozenset[str]
    account: str | None


Found = Iterator[Finding]
# A rule is given the name of its row; its docstring says what it asks for.
Rule = Callable[[str, Rendered, Facts], Found]


def not_compared(root: Path) -> str | None:
    """Why manifests cannot be compared with the built images; None where they can."""
    path = root / IMAGES
    if not path.exists():
        return f"there is no {IMAGES}"
    return incomplete(path.parent)


def built(root: Path) -> frozenset[str] | None:
    """The names of all images that were built, without registry and tag.

    None where the docker session left no report, or was run for some of them only.
    """
    if not_compared(root) is not None:
        return None
    rows = json.loads((root / IMAGES).read_text(encoding="utf-8"))
    return frozenset(last(row["name"]) for row in rows)


def last(image: str) -> str:
    """An image's name without registry, tag and digest."""
    return re.split(r"[:@]", image.rpartition("/")[2])[0]


def image_of(container: Mapping[str, Any]) -> str:
    """The name of a container's image."""
    return last(str(container.get("image", "")))


def configs_of(rendered: Rendered, container: Mapping[str, Any]) -> list[Manifest]:
    """The ConfigMaps that a container is given as its environment."""
    names = [
        each.get("configMapRef", {}).get("name")
        for each in container.get("envFrom") or ()
    ]
    found = [rendered.named("ConfigMap", name) for name in names if name]
    return [each for each in found if each]
