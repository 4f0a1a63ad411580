"""Defines the objects in built manifests; each value has its source file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Union

from lake_ci.model.results import Finding

FOLDER = "k8s"
Path = Sequence[Union[str, int]]
# For each kind of workload, the path to the pod template.
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
    """A Kubernetes object; each of its values has a source file and line.

    Attributes:
        body: the object.
        places: the file and line of each value, by the value's path. If a list item has
            a name, such as `api`, the item's step in the path is `name=api`. If a list
            item has no name, the item's step is its index.
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
        """Return the value at a path, or None."""
        at: Any = self.body
        for key in path:
            if isinstance(key, int):
                at = at[key] if isinstance(at, list) and key < len(at) else None
            else:
                at = at.get(key) if isinstance(at, Mapping) else None
        return at

    def place(self, path: Path = ()) -> tuple[str | None, int | None]:
        """Return the file and line of a value, or of the parent of a missing value."""
        named = self._named(path)
        for length in range(len(named), -1, -1):
            if named[:length] in self.places:
                return self.places[named[:length]]
        return None, None

    def finding(self, tool: str, rule: str, message: str, path: Path = ()) -> Finding:
        """Return a finding at the file and line of a value of this object."""
        return Finding(tool, rule, f"{self.id}: {message}", *self.place(path))

    def step_names(self, path: Path) -> list[str]:
        """Return the steps of a path; a list item's step is its name or its index."""
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
        """The path to the pod template; None if the object does not create pods."""
        return PODS.get(self.kind)

    def containers(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield each container of a workload, with the container's path."""
        if self.pod is not None:
            for group in CONTAINERS:
                path = (*self.pod, "spec", group)
                for number, container in enumerate(self.get(*path) or ()):
                    yield (*path, number), container


def leaves(
    thing: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each scalar value of an object, with the path of the value."""
    if isinstance(thing, Mapping):
        for key, item in thing.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(thing, list):
        for number, item in enumerate(thing):
            yield from leaves(item, (*path, number))
    else:
        yield path, thing


@dataclass(frozen=True)
class DeletedObject:
    """An object that a patch deletes, with the file and line of the patch."""

    kind: str
    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Rendered:
    """The objects that an overlay renders.

    Attributes:
        environment: the environment of the overlay.
        file: the YAML file that contains all objects of the overlay.
        deleted: the objects that patches of the overlay delete.
    """

    environment: str
    file: str
    manifests: tuple[Manifest, ...]
    deleted: tuple[DeletedObject, ...] = ()

    @classmethod
    def from_json(cls, environment: str, file: str, text: str) -> Rendered:
        """Read the output of `scripts/render_manifests.py`.

        Raises:
            ValueError, KeyError, TypeError: the text does not have the script's format.
        """
        output = json.loads(text)
        manifests = tuple(
            Manifest(
                each["object"],
                {tuple(path): (file_, line) for path, file_, line in each["places"]},
            )
            for each in output["objects"]
        )
        return cls(
            environment,
            file,
            manifests,
            tuple(DeletedObject(**each) for each in output["deleted"]),
        )

    @property
    def overlay(self) -> str:
        """The path of the overlay's folder."""
        return f"{FOLDER}/overlays/{self.environment}"

    def of(self, *kinds: str) -> Iterator[Manifest]:
        """Return the objects of these kinds."""
        return (each for each in self.manifests if each.kind in kinds)

    def named(self, kind: str, name: str) -> Manifest | None:
        """Return the object of this kind and name."""
        return next((each for each in self.of(kind) if each.name == name), None)

    def workloads(self) -> Iterator[Manifest]:
        """Return the objects that create pods."""
        return self.of(*PODS)

    def missing(self, tool: str, rule: str, message: str, kind: str) -> Finding:
        """Return a finding about an object that is missing from the overlay.

        If a patch deletes the object, the finding is at the patch. If no patch deletes
        the object, the finding is at the overlay's kustomization.yaml.
        """
        for each in self.deleted:
            if each.kind == kind:
                return Finding(tool, rule, message, each.file, each.line)
        return Finding(tool, rule, message, f"{self.overlay}/kustomization.yaml", 1)


class BuildResult:
    """Passes the objects of a build to the checks that wait for them."""

    def __init__(self) -> None:
        self._future: Future[Rendered | None] = Future()

    def set(self, rendered: Rendered | None) -> None:
        """Set the objects; only the first call has an effect."""
        if not self._future.done():
            self._future.set_result(rendered)

    def wait(self) -> Rendered | None:
        """Wait for the build; return the built objects, or None if the build failed."""
        return self._future.result()
