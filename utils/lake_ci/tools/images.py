"""The images: linted, built side by side, and built again to see that the same comes out and nothing else got in."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lake_ci import git
from lake_ci.errors import UsageError
from lake_ci.job import nearest
from lake_ci.processes import Completed
from lake_ci.results import Finding, Outcome, Status, count, write_whole
from lake_ci.tools import layers
from lake_ci.tools.engine import Engine
from lake_ci.tools.locks import read_jars, read_project
from lake_ci.tools.tool import CommandTool, Tool, Workbench, crashed, stopped

DOCKERFILE = "docker/Dockerfile"
BAKE = "docker/docker-bake.hcl"
TARGETS = ("dev", "prod", "api", "processor")
WORK = ".cache/docker"
# What may lie about in a checkout, and must not get into an image with it.
PLANTED = (".env", "utils/lakekit/.env", "api/lakekit_api/credentials.json", "docker/id_rsa", "requirements/pip.conf")
USAGE = "options of `nox -s docker`: --target TARGET (again for more)"


@dataclass
class Images:
    """What one run builds, and how far it has come.

    Attributes:
        engine: where they are built.
        targets: those to be built.
        version: the version of lakekit inside.
        ids: the id of each image that was built.
        layers: what is in them, once that was read.
        sizes: their sizes in bytes.
        packages: the Python packages inside, by name, once they were looked at.
    """

    engine: Engine
    targets: tuple[str, ...] = TARGETS
    version: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)

    def name(self, target: str) -> str:
        return self.engine.image(target)

    def settings(self, bench: Workbench) -> dict[str, Any]:
        """`[tool.lake_ci.docker]` of pyproject.toml."""
        found: dict[str, Any] = read_project(bench.root)["tool"]["lake_ci"]["docker"]
        return found


def targets(arguments: Sequence[str]) -> tuple[str, ...]:
    """The targets that a person chose; all of them where they chose none. Raises UsageError."""
    chosen: list[str] = []
    rest = list(arguments)
    while rest:
        option, _, value = rest.pop(0).partition("=")
        if option != "--target" or not (value or rest):
            raise UsageError(f"nox -s docker: {option!r} is not known", hint=USAGE)
        value = value or rest.pop(0)
        if value not in TARGETS:
            raise UsageError(f"nox -s docker: no target {value!r}{nearest(value, TARGETS)}", hint=USAGE)
        chosen.append(value)
    return tuple(target for target in TARGETS if target in chosen) or TARGETS


class Hadolint(CommandTool):
    """hadolint: the Dockerfile follows the rules of its trade, and the shell in it those of ShellCheck."""

    name = "hadolint"

    def command(self, bench: Workbench) -> list[str]:
        return [bench.bin("hadolint"), "--format=json", "--failure-threshold=style", DOCKERFILE]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            yield Finding(self.name, row["code"], row["message"], row["file"], row["line"])


class OfImages(Tool):
    """A check of the images; skipped for those that were not built."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def run(self, bench: Workbench) -> Outcome:
        if not self.images.ids:
            return Outcome(Status.SKIPPED, "no image was built")
        return self.check(bench)

    def check(self, bench: Workbench) -> Outcome:
        """Check the images that there are."""
        raise NotImplementedError


class Build(Tool):
    """The images are built from the checkout, side by side, with shared layers."""

    name = "build"
    alone = True

    def __init__(self, images: Images) -> None:
        self.images = images

    def run(self, bench: Workbench) -> Outcome:
        images = self.images
        if images.engine.missing:
            return Outcome(Status.SKIPPED, "there is no engine")
        images.version = version(bench)
        gather_jars(bench)
        start = time.monotonic()
        done = bake(images, bench, bench.root, "checked")
        if done.code != 0:
            return stopped(self.name, done) or failed_step(self.name, done)
        asked = images.engine.docker("image", "inspect", *(images.name(target) for target in images.targets))
        if asked.code != 0:
            return stopped(self.name, asked) or crashed(self.name, asked)
        for target, said in zip(images.targets, json.loads(asked.stdout)):
            images.ids[target], images.sizes[target] = said["Id"], said["Size"]
            images.labels[target] = said["Config"]["Labels"] or {}
        cached = done.stderr.count(" CACHED")
        words = f"{count(len(images.ids), 'image')}, {cached} of {steps(done)} steps from the cache"
        return Outcome(Status.SUCCESS, words, data={"seconds": round(time.monotonic() - start, 1), "cached": cached})


class Again(OfImages):
    """Built again without cache, from a folder full of secrets: the same files, and no secret in them."""

    name = "again"
    alone = True

    def check(self, bench: Workbench) -> Outcome:
        images = self.images
        known = Proven(bench.root / WORK / "proven.json")
        new = [target for target in images.targets if images.ids[target] not in known.ids]
        if not new:
            return Outcome(Status.SUCCESS, f"shown of these very images on {known.ids[images.ids[images.targets[0]]]}")
        word = f"canary-{secrets.token_hex(12)}"
        with tempfile.TemporaryDirectory(prefix="again-", dir=bench.root / WORK) as folder:
            context = Path(folder) / "context"
            copy_context(bench, context, word)
            options = ["--no-cache", f"--set=*.secrets=id=pip,src={context / 'requirements/pip.conf'}"]
            done = bake(images, bench, context, "again", options)
            if done.code != 0:
                return stopped(self.name, done) or failed_step(self.name, done)
            archive = Path(folder) / "images.tar"
            names = [images.engine.image(target, tag) for target in images.targets for tag in ("checked", "again")]
            saved = images.engine.docker("save", "--output", str(archive), *names)
            if saved.code != 0:
                return stopped(self.name, saved) or crashed(self.name, saved)
            base = base_layers(images, bench)
            read = layers.read(archive, base, [word.encode()])
        found = [finding for target in images.targets for finding in self._compared(target, read)]
        if found:
            return Outcome.of(found)
        known.add([images.ids[target] for target in images.targets])
        same = [t for t in images.targets if images.ids[t] == _id(images.engine, images.engine.image(t, "again"))]
        what = "ids" if same == list(images.targets) else "contents; the engine dates what it builds, so the ids differ"
        files = sum(len(read[images.name(target)].files) for target in images.targets)
        return Outcome(Status.SUCCESS, f"the same {what}; {files:,} files, {len(PLANTED)} secrets kept out")

    def _compared(self, target: str, read: dict[str, layers.Layers]) -> Iterator[Finding]:
        first, second = (read[self.images.engine.image(target, tag)] for tag in ("checked", "again"))
        for place in second.places:
            yield Finding(self.name, "secret", f"{target}: a secret of the build got into {place}", DOCKERFILE)
        # A secret that got in is a difference, too: said once.
        for line in [] if second.places else sorted(set(first.files) ^ set(second.files))[:5]:
            where = "the configuration" if line.startswith("{") else line.split()[0]
            message = f"{target}: {where} is not the same in a second build"
            yield Finding(self.name, "differs", message, DOCKERFILE)


@dataclass
class Proven:
    """The images that were built twice with the same result: an id stands for its contents."""

    path: Path

    @property
    def ids(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self.path.read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return {}

    def add(self, ids: Sequence[str]) -> None:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        kept = dict(list(self.ids.items())[-100:])
        write_whole(self.path, json.dumps({**kept, **dict.fromkeys(ids, today)}))


def bake(
    images: Images, bench: Workbench, context: Path, tag: str, options: Sequence[str] = ()
) -> Completed:
    """Build the targets from a context, under names of this checkout."""
    settings = {
        "PREFIX": images.engine.prefix,
        "TAG": tag,
        "VERSION": images.version,
        "REVISION": git.commit(bench.root) or "unknown",
        "SOURCE": read_project(bench.root)["project"].get("urls", {}).get("Source", ""),
        "SOURCE_DATE_EPOCH": str(git.commit_time(bench.root)),
    }
    command = ["docker", "buildx", "bake", "--load", "--progress=plain", f"--file={BAKE}", *options, *images.targets]
    return bench.execute(command, cwd=context, env={**images.engine.env, **settings})


def version(bench: Workbench) -> str:
    """The version of the checkout, as the wheel of `nox -s build` has it. Raises ValueError where git cannot tell."""
    done = bench.execute([str(bench.python), "-m", "versioningit"])
    if done.code != 0:
        raise ValueError(f"versioningit cannot tell the version: {done.last_lines(1)}")
    return done.stdout.strip()


def gather_jars(bench: Workbench) -> None:
    """Put the locked jars where the build takes them from: a context holds no symbolic links."""
    source, target = Path(bench.env["LAKE_CI_JARS"]), bench.root / WORK / "jars"
    wanted = {jar.file for jar in read_jars(bench.root)}
    if target.is_dir() and {path.name for path in target.iterdir()} == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=lambda _, names: set(names) - wanted)


def copy_context(bench: Workbench, to: Path, word: str) -> None:
    """A copy of what git knows of the checkout, and secrets in places where people leave them."""
    for name in git.files(bench.root, "docker", "requirements", "utils/lakekit", "api", "pyproject.toml", "LICENSE"):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bench.root / name, to / name)
    shutil.copy2(bench.root / ".dockerignore", to / ".dockerignore")
    shutil.copytree(bench.root / WORK / "jars", to / WORK / "jars")
    for name in PLANTED:
        (to / name).write_text(f"# {word}\n", encoding="utf-8")


def base_layers(images: Images, bench: Workbench) -> int:
    """How many layers of the images are their base's."""
    name = re.search(r"^ARG BASE=(\S+)", (bench.root / DOCKERFILE).read_text(encoding="utf-8"), re.MULTILINE)
    done = images.engine.docker("image", "inspect", "--format={{len .RootFS.Layers}}", name[1] if name else "")
    if done.code != 0:
        raise ValueError(f"the base image cannot be looked at: {done.last_lines(1)}")
    return int(done.stdout)


def _id(engine: Engine, name: str) -> str:
    return engine.docker("image", "inspect", "--format={{.Id}}", name).stdout.strip()


def steps(done: Completed) -> int:
    """How many steps a build took or found in the cache."""
    return len(set(re.findall(r"^#(\d+) \[[^\]]*\d+/\d+\]", done.stderr, re.MULTILINE)))


def failed_step(name: str, done: Completed) -> Outcome:
    """The outcome of a build that failed: the line of the Dockerfile, and what the step said last."""
    match = re.search(r"^Dockerfile:(\d+)\n-+\n", done.stderr, re.MULTILINE)
    error = re.findall(r"^ERROR: (.*)$", done.stderr, re.MULTILINE)
    said = re.findall(r"^(?:#\d+ )?[\d.]+ (.*)$", done.stderr.partition("------\n >")[2], re.MULTILINE)
    if not error:
        return crashed(name, done)
    message = "\n".join([error[-1], *said[-8:]])
    line = int(match[1]) if match else None
    return Outcome(Status.FAILURE, error[-1][:200], (Finding(name, "build", message, DOCKERFILE, line),))
