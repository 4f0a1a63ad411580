"""Lists where each value of a built overlay was defined.

    python scripts/render_manifests.py k8s/overlays/production built.yaml manifests.yaml

Reads the output of kustomize with `originAnnotations`, and writes the objects without
these annotations to the last file. Prints JSON: the objects, each with its places as
`[path, file, line]`, and the objects that patches delete. In a path, a list item with a
name is `name=api`, because kustomize merges lists by name in any order.
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
    """The files of an overlay, from the base to the file with the highest precedence.

    Attributes:
        documents: the file and the root node of every object and patch.
        settings: the place of each key of a generated ConfigMap, by the name of the
            ConfigMap.
        images: the place that defines an image, by the image's final name.
    """

    documents: list[tuple[str, yaml.Node, int]] = field(default_factory=list)
    settings: dict[str, list[Place]] = field(default_factory=dict)
    images: dict[str, tuple[str, int]] = field(default_factory=dict)

    def read(self, folder: Path) -> None:
        """Read the kustomizations that a kustomization is based on, and then the
        kustomization.
        """
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
        """Read a patch from the node of a kustomization, which contains the patch or
        its path.
        """
        if "path" in patch:
            self.take(path.parent / patch["path"])
        elif "patch" in patch:
            text = child(node, "patch")
            # The text of a block starts one line below the `|`.
            below = text.start_mark.line + (text.style in ("|", ">"))
            self.compose(str(path), patch["patch"], below)

    def take(self, path: Path) -> None:
        """Read a file of objects or patches."""
        self.compose(str(path), path.read_text(encoding="utf-8"), 0)

    def compose(self, file: str, text: str, below: int) -> None:
        """Parse the documents of a text. The text starts `below` lines after the start
        of its file.
        """
        self.documents += [
            (file, node, below)
            for node in yaml.compose_all(text, Loader=yaml.CSafeLoader)
        ]

    def places(self, thing: dict[str, Any], origin: str | None) -> list[Place]:
        """Return where the values of an object were defined. A scalar is defined by the
        last file, a mapping or list by the first file.
        """
        found: dict[tuple[str, ...], Place] = {}
        for place in self.written(thing, origin):
            path = tuple(place[0])
            holds = any(each != path and each[: len(path)] == path for each in found)
            if path not in found or not (holds or path in IDENTITY):
                found[path] = place
        return list(found.values())

    def written(self, thing: dict[str, Any], origin: str | None) -> Iterator[Place]:
        """Yield the places that define an object's values, in rising precedence."""
        kind, name = thing["kind"], thing["metadata"]["name"]
        for file, node, below in self.documents:
            if value(node, "kind") != kind:
                continue
            same = value(node, "metadata", "name") == name
            # The name of the namespace differs, because the overlay sets it.
            if same or (kind == "Namespace" and file == origin):
                yield from walk(node, [], file, below)
        if kind == "ConfigMap":
            # The name of the object ends in a hash of its content.
            yield from self.settings.get(name.rpartition("-")[0], ())
        for path, image in images(thing, []):
            if image.rpartition(":")[0] in self.images:
                yield (path, *self.images[image.rpartition(":")[0]])

    def deleted(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that patches delete."""
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
    """Return the child node of a key or index; None if it does not exist."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        return node.value[key]
    if isinstance(node, yaml.MappingNode):
        return next((item for name, item in node.value if name.value == key), None)
    return None


def value(node: Any, *keys: str) -> str | None:
    """Return the text at the path with these keys."""
    for key in keys:
        node = child(node, key)
    return node.value if isinstance(node, yaml.ScalarNode) else None


def line_of(node: Any) -> int:
    return int(node.start_mark.line) + 1


def walk(node: Any, path: list[str], file: str, below: int) -> Iterator[Place]:
    """Yield the places of a node and of all nodes below it. The line of a value is the
    line of its key.
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
    """Return the keys of an .env file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        (["data", line.partition("=")[0]], str(path), number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]


def images(thing: Any, path: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the images of an object, with their paths."""
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
    """Remove the added annotations from an object; return the object's source file."""
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
    # Compare only the end of the path, because the path is relative to another folder.
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
