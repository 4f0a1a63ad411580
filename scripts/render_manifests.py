"""Lists the file and line that define each value of a built overlay.

    python scripts/render_manifests.py k8s/overlays/production built.yaml manifests.yaml

The second argument is the file to which kustomize, with the option `originAnnotations`,
has written the overlay. The third argument is the file to which the script writes the
objects without these annotations.

Prints JSON: the objects, each with a list of `[path, file, line]`, and the objects that
patches delete. In a path, a list item that has a name is written as `name=NAME` instead
of its index. The reason is that kustomize merges list items by name and may change the
order.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ADDED = ("config.kubernetes.io/origin", "alpha.config.kubernetes.io/transformations")
KUSTOMIZATION = "kustomization.yaml"
# The fields that every patch contains to identify its object.
IDENTITY = (("apiVersion",), ("kind",), ("metadata", "name"))
SECTIONS = ("resources", "components")
Place = tuple[list[str], str, int]


@dataclass
class Sources:
    """The files of an overlay. The files of the base come first. Later files have
    higher precedence.

    Attributes:
        documents: the file, the root node and the line offset of every object and
            patch.
        settings: the definitions of the keys of each generated ConfigMap; the key is
            the name of the ConfigMap.
        images: the file and line that define the tag of each image; the key is the
            final name of the image.
    """

    documents: list[tuple[str, yaml.Node, int]] = field(default_factory=list)
    settings: dict[str, list[Place]] = field(default_factory=dict)
    images: dict[str, tuple[str, int]] = field(default_factory=dict)

    def read(self, folder: Path) -> None:
        """Read a kustomization; its resources and components are read first."""
        path = folder / KUSTOMIZATION
        kustomization = yaml.load(
            path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
        )
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for section in SECTIONS:
            for name in kustomization.get(section, ()):
                if (folder / name).is_dir():
                    self.read(Path(os.path.normpath(folder / name)))
                else:
                    self.take(folder / name)
        for number, patch in enumerate(kustomization.get("patches", ())):
            self.take_patch(path, patch, child(child(root, "patches"), number))
        for each in kustomization.get("configMapGenerator", ()):
            places = self.settings.setdefault(each["name"], [])
            for name in each.get("envs", ()):
                places += assignments(folder / name)
        for number, each in enumerate(kustomization.get("images", ())):
            node = child(child(root, "images"), number)
            line = line_of(child(node, "newTag") or node)
            self.images[each.get("newName", each["name"])] = (str(path), line)

    def take_patch(self, path: Path, patch: dict[str, Any], node: Any) -> None:
        """Read a patch. `node` is the entry in the kustomization, which contains the
        text of the patch or the path of its file.
        """
        if "path" in patch:
            self.take(path.parent / patch["path"])
        elif "patch" in patch:
            text = child(node, "patch")
            # The text of a YAML block starts one line below the `|`.
            below = text.start_mark.line + (text.style in ("|", ">"))
            self.compose(str(path), patch["patch"], below)

    def take(self, path: Path) -> None:
        """Read a file that contains objects or a patch."""
        self.compose(str(path), path.read_text(encoding="utf-8"), 0)

    def compose(self, file: str, text: str, below: int) -> None:
        """Parse YAML documents. The text starts `below` lines below the start of
        `file`.
        """
        self.documents += [
            (file, node, below)
            for node in yaml.compose_all(text, Loader=yaml.CSafeLoader)
        ]

    def places(self, thing: dict[str, Any], origin: str | None) -> list[Place]:
        """Return where the values of an object are defined. If several files define the
        same value, the result has the last file for a scalar, and the first file for a
        mapping or a list.
        """
        found: dict[tuple[str, ...], Place] = {}
        for place in self.written(thing, origin):
            path = tuple(place[0])
            holds = any(each != path and each[: len(path)] == path for each in found)
            if path not in found or not (holds or path in IDENTITY):
                found[path] = place
        return list(found.values())

    def written(self, thing: dict[str, Any], origin: str | None) -> Iterator[Place]:
        """Yield every definition of an object's values. Later definitions have higher
        precedence.
        """
        kind, name = thing["kind"], thing["metadata"]["name"]
        for file, node, below in self.documents:
            if value(node, "kind") != kind:
                continue
            same = value(node, "metadata", "name") == name
            # The name of a Namespace differs from the name in the file, because the
            # overlay sets the name.
            if same or (kind == "Namespace" and file == origin):
                yield from walk(node, [], file, below)
        if kind == "ConfigMap":
            # kustomize adds a hash of the content to the name of the object.
            yield from self.settings.get(name.rpartition("-")[0], ())
        for path, image in images(thing, []):
            if image.rpartition(":")[0] in self.images:
                yield (path, *self.images[image.rpartition(":")[0]])

    def deleted(self) -> Iterator[dict[str, Any]]:
        """Yield each object that a patch deletes, and the patch's file and line."""
        for file, node, below in self.documents:
            if value(node, "$patch") == "delete":
                name = value(node, "metadata", "name")
                line = line_of(node) + below
                yield {
                    "kind": value(node, "kind"),
                    "name": name,
                    "file": file,
                    "line": line,
                }


def child(node: Any, key: str | int) -> Any:
    """Return the child node with this key or index, or None if there is none."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return node.value[key]
    if isinstance(node, yaml.MappingNode):
        return next((item for name, item in node.value if name.value == key), None)
    return None


def value(node: Any, *keys: str) -> str | None:
    """Return the scalar at the path `keys`, or None if there is no scalar."""
    for key in keys:
        node = child(node, key)
    return node.value if isinstance(node, yaml.ScalarNode) else None


def line_of(node: Any) -> int:
    return int(node.start_mark.line) + 1


def walk(node: Any, path: list[str], file: str, below: int) -> Iterator[Place]:
    """Yield the path, file and line of a node and of all nodes below it. The line of a
    value is the line of its key.
    """
    if not path:
        yield path, file, line_of(node) + below
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            yield [*path, str(key.value)], file, line_of(key) + below
            yield from walk(item, [*path, str(key.value)], file, below)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            name = value(item, "name")
            step = [*path, str(number) if name is None else f"name={name}"]
            yield step, file, line_of(item) + below
            yield from walk(item, step, file, below)


def assignments(path: Path) -> list[Place]:
    """Return the path, file and line of each key of an .env file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        (["data", line.partition("=")[0]], str(path), number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]


def images(thing: Any, path: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the path and the value of each field `image` in an object."""
    if isinstance(thing, dict):
        for key, item in thing.items():
            if key == "image" and isinstance(item, str):
                yield [*path, key], item
            else:
                yield from images(item, [*path, key])
    elif isinstance(thing, list):
        for number, item in enumerate(thing):
            named = isinstance(item, dict) and "name" in item
            yield from images(
                item, [*path, f"name={item['name']}" if named else str(number)]
            )


def strip(thing: dict[str, Any]) -> str | None:
    """Remove the annotations that kustomize has added to an object. Returns the
    object's source file.
    """
    annotations = thing["metadata"].get("annotations", {})
    origin = annotations.get(ADDED[0])
    for name in ADDED:
        annotations.pop(name, None)
    if not annotations:
        thing["metadata"].pop("annotations", None)
    return (
        (yaml.load(origin, Loader=yaml.CSafeLoader) or {}).get("path")
        if origin
        else None
    )


def main(overlay: str, built: str, target: str) -> None:
    sources = Sources()
    sources.read(Path(overlay))
    objects = []
    # The path in the annotation is relative to a different folder, so only the end of
    # the path is compared.
    for thing in yaml.load_all(
        Path(built).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    ):
        origin = strip(thing)
        files = {file for file, _, _ in sources.documents}
        file = next((each for each in files if origin and origin.endswith(each)), None)
        objects.append({"object": thing, "places": list(sources.places(thing, file))})
    text = yaml.dump_all(
        (each["object"] for each in objects), Dumper=yaml.CSafeDumper, sort_keys=False
    )
    Path(target).write_text(text, encoding="utf-8")
    print(json.dumps({"objects": objects, "deleted": list(sources.deleted())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
