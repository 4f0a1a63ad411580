"""Builds the images a second time, and compares the contents of both builds.

Both builds must have the same contents, and must not contain a secret from the build
folder.

A layer from the build cache is not built a second time, so the comparison proves
nothing about this layer. A build without the cache takes minutes. Therefore
`proven.json` stores the ids of layers that were built twice with the same result. If a
commit changes only the project's code, the second build repeats only the stage of the
project's wheel. If any other layer is new, the second build uses no cache.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lake_ci.checks.docker import layers
from lake_ci.checks.docker.base_image import read_dockerfile
from lake_ci.checks.docker.build import (
    DOCKERFILE,
    WORK,
    ImageCheck,
    Images,
    bake,
    failed_step,
)
from lake_ci.checks.docker.contents import stage_line
from lake_ci.checks.docker.layers import LayerContents, LayerPath
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import Docker
from lake_ci.runner.check import CheckContext, stopped
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole

TAG = "again"
SHOWN = 5
MAX_IDS = 500


class RebuildCheck(ImageCheck):
    """Build the images again, from a folder with planted secrets; compare both builds.

    Both builds must have the same contents, and must not contain a planted secret.
    """

    name = "again"
    exclusive = True

    def __init__(self, images: Images) -> None:
        super().__init__(images)
        self._base = 0

    def check(self, ctx: CheckContext) -> Outcome:
        images = self.images
        verified = VerifiedIds(ctx.root / WORK / "proven.json")
        digests = verified.digests()
        ids = [images.ids[target] for target in images.targets]
        if digests.keys() >= set(ids):
            shown = [digests[each] for each in ids]
            return self._success(shown, "; verified by an earlier run")
        self._base = base_layers(images, ctx)
        new = self._unverified(images.targets, verified)
        if not new:
            return Outcome(
                Status.SUCCESS,
                "an earlier run verified all layers",
            )
        # If only one layer is new, it is probably the layer that contains the project's
        # own code, because each commit may change this code.
        if all(verified.missing(self._layers(target)) == 1 for target in new):
            how = f"--set=*.args.BUILD={secrets.token_hex(8)}"
            outcome = self._rebuild(new, verified, ctx, how)
            new = self._unverified(new, verified)
            if outcome.status is not Status.SUCCESS:
                return outcome
            if not new:
                why = "an earlier run verified all layers but the project's code"
                return replace(outcome, detail=f"{outcome.detail}; {why}")
        return self._rebuild(new, verified, ctx, "--no-cache")

    def _unverified(self, targets: Iterable[str], verified: VerifiedIds) -> list[str]:
        """Return the images with a layer that is not yet verified.

        A layer is verified if two builds of the layer had the same result.
        """
        return [target for target in targets if verified.missing(self._layers(target))]

    def _rebuild(
        self, targets: Sequence[str], verified: VerifiedIds, ctx: CheckContext, how: str
    ) -> Outcome:
        """Build images again, compare both builds, and store equal layers' ids."""
        images = self.images
        word = f"canary-{secrets.token_hex(12)}"
        folder = images.scratch(ctx, TAG)
        try:
            context = folder / "context"
            copy_context(images.settings, ctx, context, word)
            done = bake(
                images, ctx, context, TAG, how, comment=f"# {word}\n", targets=targets
            )
            if done.code != 0:
                return stopped(self.name, done) or failed_step(self.name, done, ctx)
            reader = layers.ArchiveReader(self._base, [word.encode()])
            read = {
                target: self._read_both_builds(target, reader, folder)
                for target in targets
            }
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        found = [
            finding
            for target, (first, second) in read.items()
            for finding in self._compared(target, first, second, ctx)
        ]
        if found:
            return Outcome.of(found)
        shown = {
            target: f"{target} {second.digest[:12]}"
            for target, (_, second) in read.items()
        }
        if self._remember(shown, verified, uncached=how == "--no-cache"):
            compared = "; with the same image ids"
        else:
            compared = "; compared by content, because the engine records build dates"
        return self._success(list(shown.values()), compared)

    def _read_both_builds(
        self, target: str, reader: layers.ArchiveReader, folder: Path
    ) -> tuple[LayerContents, LayerContents]:
        """Return the contents of an image from the first and from the second build."""
        first = self._read(target, "checked", reader, folder)
        return first, self._read(target, TAG, reader, folder)

    def _remember(
        self, shown: Mapping[str, str], verified: VerifiedIds, *, uncached: bool
    ) -> bool:
        """Store the ids of both builds; return whether the builds have equal ids."""
        same = True
        for target, what in shown.items():
            pairs = list(zip(self._layers(target), self._layers(target, TAG)))
            # If the second build used the cache, an equal id does not prove that the
            # layer was built again. If a layer has different ids in the two builds,
            # store both ids, because later builds may use either layer from the cache.
            rebuilt = [(one, two) for one, two in pairs if uncached or one != two]
            verified.add_layers([layer for pair in rebuilt for layer in pair])
            if not verified.missing([one for one, _ in pairs]):
                verified.add({self.images.ids[target]: what})
            same &= all(one == two for one, two in pairs)
        return same

    def _layers(self, target: str, tag: str = "checked") -> list[str]:
        """Return the ids of an image's layers above the base image.

        Raises LakeCiError if docker fails.
        """
        name = self.images.name(target, tag)
        answer = self.images.engine.docker(
            "image", "inspect", "--format={{json .RootFS.Layers}}", name
        )
        if answer.code != 0:
            raise LakeCiError(f"docker image inspect {target}: {answer.last_lines(2)}")
        found: list[str] = json.loads(answer.stdout)
        return found[self._base :]

    def _success(self, digests: Sequence[str], how: str) -> Outcome:
        return Outcome(
            Status.SUCCESS,
            f"the same contents: {', '.join(digests)}{how}",
            data={"digests": list(digests)},
        )

    def _read(
        self, target: str, tag: str, reader: layers.ArchiveReader, folder: Path
    ) -> LayerContents:
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
        self,
        target: str,
        first: LayerContents,
        second: LayerContents,
        ctx: CheckContext,
    ) -> Iterator[Finding]:
        for place in second.secrets:
            yield self._finding(
                "secret",
                f"{target}: a build secret is in {place.path}",
                target,
                place,
                ctx,
            )
        # A file that contains a secret also differs between the builds, but is not
        # reported a second time.
        leaked = {place.path for place in second.secrets}
        places = {
            place for place, _ in first.files ^ second.files if place.path not in leaked
        }
        for place in sorted(places, key=lambda each: each.path)[:SHOWN]:
            yield self._finding(
                "differs",
                f"{target}: {place.path} differs in a second build",
                target,
                place,
                ctx,
            )
        if len(places) > SHOWN:
            message = (
                f"{target}: {count(len(places) - SHOWN, 'path')}"
                " more differ in a second build"
            )
            yield Finding(
                self.name, "differs", message, DOCKERFILE, stage_line(ctx, target)
            )

    def _finding(
        self, rule: str, message: str, target: str, place: LayerPath, ctx: CheckContext
    ) -> Finding:
        lines = (ctx.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
        line = layers.instruction_line(place.instruction, lines) or stage_line(
            ctx, target
        )
        return Finding(self.name, rule, message, DOCKERFILE, line)


@dataclass
class VerifiedIds:
    """The ids of images and layers that were built twice with the same result."""

    path: Path

    def digests(self) -> dict[str, str]:
        """Return the digest of each verified image, by image id.

        If the file is missing, the result is empty.
        """
        return self._read("images")

    def missing(self, layers: Sequence[str]) -> int:
        """Return how many of these layers are not yet verified."""
        verified = self._read("layers")
        return sum(layer not in verified for layer in layers)

    def add(self, digests: Mapping[str, str]) -> None:
        """Add these images; if more than MAX_IDS images are stored, drop the oldest."""
        self._write("images", digests)

    def add_layers(self, layers: Sequence[str]) -> None:
        """Add these layers; if more than MAX_IDS layers are stored, drop the oldest."""
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
        both[kind] = dict(list({**both[kind], **more}.items())[-MAX_IDS:])
        write_whole(self.path, json.dumps(both))


def copy_context(settings: Docker, ctx: CheckContext, to: Path, word: str) -> None:
    """Copy the build context, and plant secrets where people may leave secrets."""
    for name in git.files(ctx.root, *settings.context):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ctx.root / name, to / name)
    shutil.copytree(ctx.root / WORK / "jars", to / WORK / "jars")
    for name in settings.planted:
        (to / name).write_text(f"{word}\n", encoding="utf-8")


def base_layers(images: Images, ctx: CheckContext) -> int:
    """Return the number of layers of the base image.

    BuildKit can use a base image that the engine does not have. If the engine does not
    have the base image, the image is pulled.
    """
    name = read_dockerfile(ctx).base_image(ctx.env)
    ask = ["image", "inspect", "--format={{len .RootFS.Layers}}", name]
    done = images.engine.docker(*ask)
    if done.code != 0:
        images.engine.docker("pull", "--quiet", name)
        done = images.engine.docker(*ask)
    if done.code != 0:
        raise LakeCiError(
            f"{DOCKERFILE}: the base image {name} cannot be inspected:"
            f" {done.last_lines(1)}"
        )
    return int(done.stdout)
