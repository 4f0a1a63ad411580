"""The images built a second time: the same comes out, and of the secrets that lie about
nothing gets in.

What comes out of the cache proves nothing, and a build without one takes minutes. So it
is remembered by id of which layers it was shown. Where a commit brought nothing but
code of the project, the stage that makes its wheel is run anew and all else comes from
the cache; where any other layer is new, everything is built.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lake_ci.checks.docker import layers
from lake_ci.checks.docker.build import (
    DOCKERFILE,
    WORK,
    Images,
    OfImages,
    bake,
    failed_step,
)
from lake_ci.checks.docker.contents import stage_line
from lake_ci.checks.docker.layers import Contents, Place
from lake_ci.checks.docker.settings import Settings
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import Workbench, stopped
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

TAG = "again"
SHOWN = 5
KEPT = 500


class Again(OfImages):
    """Built again without cache, from a folder full of secrets: the same contents, and
    no secret in them.
    """

    name = "again"
    alone = True

    def __init__(self, images: Images) -> None:
        super().__init__(images)
        self._base = 0

    def check(self, bench: Workbench) -> Outcome:
        images = self.images
        known = Proven(bench.root / WORK / "proven.json")
        digests = known.digests()
        ids = [images.ids[target] for target in images.targets]
        if digests.keys() >= set(ids):
            shown = [digests[each] for each in ids]
            return self._said(shown, "; these images were shown so before")
        self._base = base_layers(images, bench)
        new = self._unknown(images.targets, known)
        if not new:
            return Outcome(
                Status.SUCCESS,
                "each of the layers was shown to come out the same before",
            )
        # The project's own code is the one layer that each commit may change.
        if all(known.missing(self._layers(target)) == 1 for target in new):
            how = f"--set=*.args.BUILD={secrets.token_hex(8)}"
            outcome = self._again(new, known, bench, how)
            new = self._unknown(new, known)
            if outcome.status is not Status.SUCCESS:
                return outcome
            if not new:
                why = "but for the project's code, from layers shown so before"
                return replace(outcome, detail=f"{outcome.detail}; {why}")
        return self._again(new, known, bench, "--no-cache")

    def _unknown(self, targets: Iterable[str], known: Proven) -> list[str]:
        """The images with a layer that was not shown to come out the same."""
        return [target for target in targets if known.missing(self._layers(target))]

    def _again(
        self, targets: Sequence[str], known: Proven, bench: Workbench, how: str
    ) -> Outcome:
        """Build these again and compare; what was built anew and came out the same is
        known from then on.
        """
        images = self.images
        word = f"canary-{secrets.token_hex(12)}"
        folder = images.scratch(bench, TAG)
        try:
            context = folder / "context"
            copy_context(images.settings, bench, context, word)
            done = bake(
                images, bench, context, TAG, how, comment=f"# {word}\n", targets=targets
            )
            if done.code != 0:
                return stopped(self.name, done) or failed_step(self.name, done, bench)
            reader = layers.Reader(self._base, [word.encode()])
            read = {
                target: self._read_both(target, reader, folder) for target in targets
            }
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        found = [
            finding
            for target, (first, second) in read.items()
            for finding in self._compared(target, first, second, bench)
        ]
        if found:
            return Outcome.of(found)
        shown = {
            target: f"{target} {second.digest[:12]}"
            for target, (_, second) in read.items()
        }
        if self._keep(shown, known, all_anew=how == "--no-cache"):
            compared = "; the ids are the same as well"
        else:
            compared = "; compared by contents, for the engine dates what it builds"
        return self._said(list(shown.values()), compared)

    def _read_both(
        self, target: str, reader: layers.Reader, folder: Path
    ) -> tuple[Contents, Contents]:
        """The contents of an image as it was checked, and as it was built again."""
        first = self._read(target, "checked", reader, folder)
        return first, self._read(target, TAG, reader, folder)

    def _keep(self, shown: Mapping[str, str], known: Proven, *, all_anew: bool) -> bool:
        """Keep what came out the same, by image; whether the ids are the same, too."""
        same = True
        for target, what in shown.items():
            pairs = list(zip(self._layers(target), self._layers(target, TAG)))
            # With a cache, a layer of the very same id may have come out of it.
            # Later builds may find either of the two in the cache.
            anew = [(one, two) for one, two in pairs if all_anew or one != two]
            known.add_layers([layer for pair in anew for layer in pair])
            if not known.missing([one for one, _ in pairs]):
                known.add({self.images.ids[target]: what})
            same &= all(one == two for one, two in pairs)
        return same

    def _layers(self, target: str, tag: str = "checked") -> list[str]:
        """The ids of an image's own layers. Raises LakeCiError."""
        name = self.images.name(target, tag)
        asked = self.images.engine.docker(
            "image", "inspect", "--format={{json .RootFS.Layers}}", name
        )
        if asked.code != 0:
            raise LakeCiError(f"docker image inspect {target}: {asked.last_lines(2)}")
        found: list[str] = json.loads(asked.stdout)
        return found[self._base :]

    def _said(self, digests: Sequence[str], how: str) -> Outcome:
        return Outcome(
            Status.SUCCESS,
            f"the same contents: {', '.join(digests)}{how}",
            data={"digests": list(digests)},
        )

    def _read(
        self, target: str, tag: str, reader: layers.Reader, folder: Path
    ) -> Contents:
        archive = folder / "image.tar"
        saved = self.images.engine.docker(
            "save", "--output", str(archive), self.images.name(target, tag)
        )
        if saved.code != 0:
            raise LakeCiError(f"docker save {target}: {saved.last_lines(2)}")
        try:
            return reader.read(archive)
        finally:
            archive.unlink()

    def _compared(
        self, target: str, first: Contents, second: Contents, bench: Workbench
    ) -> Iterator[Finding]:
        for place in second.secrets:
            yield self._finding(
                "secret",
                f"{target}: a secret of the build got into {place.path}",
                target,
                place,
                bench,
            )
        # A secret that got in is a difference as well: said once.
        leaked = {place.path for place in second.secrets}
        places = {
            place for place, _ in first.files ^ second.files if place.path not in leaked
        }
        for place in sorted(places, key=lambda each: each.path)[:SHOWN]:
            yield self._finding(
                "differs",
                f"{target}: {place.path} is another in a second build",
                target,
                place,
                bench,
            )
        if len(places) > SHOWN:
            message = (
                f"{target}: {count(len(places) - SHOWN, 'path')}"
                " more are others in a second build"
            )
            yield Finding(
                self.name, "differs", message, DOCKERFILE, stage_line(bench, target)
            )

    def _finding(
        self, rule: str, message: str, target: str, place: Place, bench: Workbench
    ) -> Finding:
        lines = (bench.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
        line = layers.line_of(place.instruction, lines) or stage_line(bench, target)
        return Finding(self.name, rule, message, DOCKERFILE, line)


@dataclass
class Proven:
    """What was built twice with the same result: an id stands for all that is in an
    image, or in a layer.
    """

    path: Path

    def digests(self) -> dict[str, str]:
        """Digests of contents by the id of the image; none where nothing can be
        read.
        """
        return self._read("images")

    def missing(self, layers: Sequence[str]) -> int:
        """Of how many of these layers it was not shown."""
        known = self._read("layers")
        return sum(layer not in known for layer in layers)

    def add(self, digests: Mapping[str, str]) -> None:
        """Remember these images, and the newest of the others."""
        self._write("images", digests)

    def add_layers(self, layers: Sequence[str]) -> None:
        """Remember these layers, and the newest of the others."""
        self._write("layers", dict.fromkeys(layers, ""))

    def _read(self, kind: str) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(
                self.path.read_text(encoding="utf-8")
            ).get(kind, {})
            return found
        except (OSError, ValueError, AttributeError):
            return {}

    def _write(self, kind: str, more: Mapping[str, str]) -> None:
        both = {one: self._read(one) for one in ("images", "layers")}
        both[kind] = dict(list({**both[kind], **more}.items())[-KEPT:])
        write_whole(self.path, json.dumps(both))


def copy_context(settings: Settings, bench: Workbench, to: Path, word: str) -> None:
    """A copy of what git knows of the checkout, and a secret in places where people
    leave them.
    """
    for name in git.files(bench.root, *settings.context):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bench.root / name, to / name)
    shutil.copytree(bench.root / WORK / "jars", to / WORK / "jars")
    for name in settings.planted:
        (to / name).write_text(f"{word}\n", encoding="utf-8")


def base_layers(images: Images, bench: Workbench) -> int:
    """How many layers of the images are their base's; BuildKit may have taken it
    without the engine's knowing it.
    """
    text = (bench.root / DOCKERFILE).read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE=(\S+)", text, re.MULTILINE)
    name = base[1] if base else ""
    ask = ["image", "inspect", "--format={{len .RootFS.Layers}}", name]
    done = images.engine.docker(*ask)
    if done.code != 0:
        images.engine.docker("pull", "--quiet", name)
        done = images.engine.docker(*ask)
    if done.code != 0:
        raise LakeCiError(
            f"{DOCKERFILE}: the base image {name} cannot be looked at:"
            f" {done.last_lines(1)}"
        )
    return int(done.stdout)
