"""Manifests as kustomize made them, and where in the sources each of their values was
written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Union

from lake_ci.model.results import Finding

FOLDER = "k8s"
Path = Sequence[Union[str, int]]
# Where the kinds that make pods keep the pod's own part.
PODS = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
CONTAINERS = ("initContainers", "containers")


@dataclass(frozen=True)
class Manifest:
    """One object.

    Attributes:
        body: the object.
        places: file and line by path; an item of a list goes by its name, `name=api`,
            where it has one.
    """

    body: Mapping[str, Any]
    places: Mapping[tuple[str, ...], tuple[str, int]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"

    def get(self, *path: str | int) -> Any:
        """The value at a path; None where there is none."""
        at: Any = self.body
        for key in path:
            if isinstance(key, int):
                at = at[key] if isinstance(at, list) and key < len(at) else None
            else:
                at = at.get(key) if isinstance(at, Mapping) else None
        return at

    def place(self, path: Path = ()) -> tuple[str | None, int | None]:
        """File and line of a value; of what is not written anywhere, those of what
        should hold it.
        """
        named = self._named(path)
        for length in range(len(named), -1, -1):
            if named[:length] in self.places:
                return self.places[named[:length]]
        return None, None

    def finding(self, tool: str, rule: str, message: str, path: Path = ()) -> Finding:
        """A finding at a value of this object."""
        return Finding(tool, rule, f"{self.id}: {message}", *self.place(path))

    def step_names(self, path: Path) -> list[str]:
        """The steps of a path as people write them: an item of a list by its name, else
        by its number.
        """
        return [step.removeprefix("name=") for step in self._named(path)]

    def _named(self, path: Path) -> tuple[str, ...]:
        at: Any = self.body
        named = []
        for key in path:
            step = str(key)
            at = (
                at[int(step)]
                if isinstance(at, list) and step.isdigit() and int(step) < len(at)
                else at
            )
            if isinstance(key, int) or step.isdigit():
                named.append(
                    f"name={at['name']}"
                    if isinstance(at, Mapping) and "name" in at
                    else step
                )
            else:
                at = at.get(step) if isinstance(at, Mapping) else None
                named.append(step)
        return tuple(named)

    # Pods

    @property
    def pod(self) -> tuple[str, ...] | None:
        """The path to the pod's template (labels and spec) of a workload; None for what
        is none.
        """
        return PODS.get(self.kind)

    def containers(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """The containers of a workload, with their paths."""
        if self.pod is not None:
            for group in CONTAINERS:
                path = (*self.pod, "spec", group)
                for number, container in enumerate(self.get(*path) or ()):
                    yield (*path, number), container


def leaves(
    thing: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every single value of an object, with its path."""
    if isinstance(thing, Mapping):
        for key, item in thing.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(thing, list):
        for number, item in enumerate(thing):
            yield from leaves(item, (*path, number))
    else:
        yield path, thing


@dataclass(frozen=True)
class Deleted:
    """What a patch deletes."""

    kind: str
    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Rendered:
    """All that an overlay makes.

    Attributes:
        environment: whose it is.
        file: the YAML file of all of it.
    """

    environment: str
    file: str
    manifests: tuple[Manifest, ...]
    deleted: tuple[Deleted, ...] = ()

    @classmethod
    def from_json(cls, environment: str, file: str, text: str) -> Rendered:
        """What `scripts/render_manifests.py` prints. Raises ValueError, KeyError or
        TypeError for anything else.
        """
        said = json.loads(text)
        manifests = tuple(
            Manifest(
                each["object"],
                {tuple(path): (file_, line) for path, file_, line in each["places"]},
            )
            for each in said["objects"]
        )
        return cls(
            environment,
            file,
            manifests,
            tuple(Deleted(**each) for each in said["deleted"]),
        )

    @property
    def overlay(self) -> str:
        """The folder of the overlay."""
        return f"{FOLDER}/overlays/{self.environment}"

    def of(self, *kinds: str) -> Iterator[Manifest]:
        """The objects of these kinds."""
        return (each for each in self.manifests if each.kind in kinds)

    def named(self, kind: str, name: str) -> Manifest | None:
        """The object of that kind and name."""
        return next((each for each in self.of(kind) if each.name == name), None)

    def workloads(self) -> Iterator[Manifest]:
        """The objects that make pods."""
        return self.of(*PODS)

    def missing(self, tool: str, rule: str, message: str, kind: str) -> Finding:
        """A finding about an object that is not there: at the patch that deletes it,
        else at the overlay.
        """
        for each in self.deleted:
            if each.kind == kind:
                return Finding(tool, rule, message, each.file, each.line)
        return Finding(tool, rule, message, f"{self.overlay}/kustomization.yaml", 1)


class Made:
    """What a build makes, for those that wait for it; None where there is nothing."""

    def __init__(self) -> None:
        self._future: Future[Rendered | None] = Future()

    def set(self, rendered: Rendered | None) -> None:
        """Say what was made; only the first word counts."""
        if not self._future.done():
            self._future.set_result(rendered)

    def wait(self) -> Rendered | None:
        """What was made, as soon as that is clear."""
        return self._future.result()
