"""The images built a second time: the same comes out, and of the secrets that lie about nothing gets in."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci import git
from lake_ci.errors import LakeCiError
from lake_ci.results import Finding, Outcome, Status, count, write_whole
from lake_ci.tools import layers
from lake_ci.tools.contents import stage_line
from lake_ci.tools.images import DOCKERFILE, WORK, Images, OfImages, bake, failed_step
from lake_ci.tools.layers import Contents, Place
from lake_ci.tools.tool import Workbench, stopped

TAG = "again"
INPUTS = (
    "docker",
    "requirements",
    "utils/lakekit",
    "api/lakekit_api",
    "pyproject.toml",
    "LICENSE",
    ".dockerignore",
)
# What may lie about in a checkout, and must not get into an image with it; pip's settings are given to the build.
PLANTED = (
    ".env",
    "utils/lakekit/.env",
    "api/lakekit_api/credentials.json",
    "docker/id_rsa",
    "requirements/pip.conf",
)
SHOWN = 5
KEPT = 100


class Again(OfImages):
    """Built again without cache, from a folder full of secrets: the same contents, and no secret in them."""

    name = "again"
    alone = True

    def check(self, bench: Workbench) -> Outcome:
        images = self.images
        known = Proven(bench.root / WORK / "proven.json")
        digests = known.digests()
        if all(images.ids[target] in digests for target in images.targets):
            return self._said(
                [digests[images.ids[target]] for target in images.targets],
                "; these images were shown so before",
            )
        word = f"canary-{secrets.token_hex(12)}"
        folder = images.scratch(bench, TAG)
        try:
            context = folder / "context"
            copy_context(bench, context, word)
            done = bake(images, bench, context, TAG, "--no-cache", comment=f"# {word}\n")
            if done.code != 0:
                return stopped(self.name, done) or failed_step(self.name, done, bench)
            reader = layers.Reader(base_layers(images, bench), [word.encode()])
            found: list[Finding] = []
            shown: dict[str, str] = {}
            for target in images.targets:
                first, second = (self._read(target, tag, reader, folder) for tag in ("checked", TAG))
                found += self._compared(target, first, second, bench)
                shown[images.ids[target]] = f"{target} {second.digest[:12]}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if found:
            return Outcome.of(found)
        known.add(shown)
        ids = [
            images.engine.docker("image", "inspect", "--format={{.Id}}", images.name(t, TAG)).stdout.strip()
            for t in images.targets
        ]
        if ids == [images.ids[target] for target in images.targets]:
            return self._said(list(shown.values()), "; the ids are the same as well")
        return self._said(list(shown.values()), "; compared by contents, for the engine dates what it builds")

    def _said(self, digests: Sequence[str], how: str) -> Outcome:
        return Outcome(
            Status.SUCCESS, f"the same contents: {', '.join(digests)}{how}", data={"digests": list(digests)}
        )

    def _read(self, target: str, tag: str, reader: layers.Reader, folder: Path) -> Contents:
        archive = folder / "image.tar"
        saved = self.images.engine.docker("save", "--output", str(archive), self.images.name(target, tag))
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
                "secret", f"{target}: a secret of the build got into {place.path}", target, place, bench
            )
        # A secret that got in is a difference as well: said once.
        leaked = {place.path for place in second.secrets}
        places = {place for place, _ in first.files ^ second.files if place.path not in leaked}
        for place in sorted(places, key=lambda each: each.path)[:SHOWN]:
            yield self._finding(
                "differs", f"{target}: {place.path} is another in a second build", target, place, bench
            )
        if len(places) > SHOWN:
            message = f"{target}: {count(len(places) - SHOWN, 'path')} more are others in a second build"
            yield Finding(self.name, "differs", message, DOCKERFILE, stage_line(bench, target))

    def _finding(self, rule: str, message: str, target: str, place: Place, bench: Workbench) -> Finding:
        lines = (bench.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
        line = layers.line_of(place.instruction, lines) or stage_line(bench, target)
        return Finding(self.name, rule, message, DOCKERFILE, line)


@dataclass
class Proven:
    """The images that were built twice with the same result: an id stands for all that is in an image."""

    path: Path

    def digests(self) -> dict[str, str]:
        """Digests of contents by id; none where nothing can be read."""
        try:
            found: dict[str, str] = json.loads(self.path.read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return {}

    def add(self, digests: dict[str, str]) -> None:
        """Remember these, and the newest of the others."""
        rows = list({**self.digests(), **digests}.items())
        write_whole(self.path, json.dumps(dict(rows[-KEPT:])))


def copy_context(bench: Workbench, to: Path, word: str) -> None:
    """A copy of what git knows of the checkout, and a secret in places where people leave them."""
    for name in git.files(bench.root, *INPUTS):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bench.root / name, to / name)
    shutil.copytree(bench.root / WORK / "jars", to / WORK / "jars")
    for name in PLANTED:
        (to / name).write_text(f"{word}\n", encoding="utf-8")


def base_layers(images: Images, bench: Workbench) -> int:
    """How many layers of the images are their base's; BuildKit may have taken it without the engine's knowing it."""
    text = (bench.root / DOCKERFILE).read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE=(\S+)", text, re.MULTILINE)
    name = base[1] if base else ""
    ask = ["image", "inspect", "--format={{len .RootFS.Layers}}", name]
    done = images.engine.docker(*ask)
    if done.code != 0:
        images.engine.docker("pull", "--quiet", name)
        done = images.engine.docker(*ask)
    if done.code != 0:
        raise LakeCiError(f"{DOCKERFILE}: the base image {name} cannot be looked at: {done.last_lines(1)}")
    return int(done.stdout)
