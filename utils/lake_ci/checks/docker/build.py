"""The images: their Dockerfile linted, and built side by side from the checkout."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lake_ci.checks.docker import layers
from lake_ci.checks.docker.engine import SCRATCH, Engine
from lake_ci.checks.docker.settings import BAKE, TARGETS, Settings
from lake_ci.checks.lint.locks import read_jars
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import (
    CommandTool,
    Tool,
    Workbench,
    crashed,
    stopped,
    stopped_or_crashed,
)
from lake_ci.runner.options import Parser
from lake_ci.system import git
from lake_ci.system.processes import Completed

DOCKERFILE = "docker/Dockerfile"
WORK = ".cache/docker"


@dataclass
class Images:
    """What one run builds, and how far it has come.

    Attributes:
        engine: where they are built.
        targets: those to be built.
        settings: what pyproject.toml says of the images.
        version: the version of the project inside.
        ids: the id of each image that was built.
        sizes: their sizes in bytes.
        labels: their labels.
        packages: the Python packages inside, by name, once they were looked at.
    """

    engine: Engine
    targets: tuple[str, ...]
    settings: Settings
    version: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)

    def name(self, target: str, tag: str = "checked") -> str:
        """The name of an image while a run has it."""
        return self.engine.image(target, tag)

    def scratch(self, bench: Workbench, name: str) -> Path:
        """An empty folder of this run; what one that was killed has left there is
        gone.
        """
        folder = bench.root / SCRATCH / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Options:
    """What was typed after `--`."""

    targets: tuple[str, ...]
    once: bool = False

    @property
    def partial(self) -> bool:
        """Whether less is done than the job asks for."""
        return self.once or self.targets != TARGETS


def parser() -> Parser:
    """The options of `nox -s docker`."""
    parser = Parser("nox -s docker --", "Build the images, and put them to work.")
    parser.add_part("--target", TARGETS, "image")
    parser.add_argument(
        "--once", action="store_true", help="do not build again to compare"
    )
    return parser


def options(posargs: Sequence[str]) -> Options:
    """Read what was typed after `--`. Raises UsageError."""
    typed = parser().parse_args(list(posargs))
    chosen = typed.target or TARGETS
    return Options(tuple(target for target in TARGETS if target in chosen), typed.once)


class Hadolint(CommandTool):
    """hadolint: the Dockerfile follows the rules of its trade, and the shell in it
    those of ShellCheck.
    """

    name = "hadolint"

    def command(self, bench: Workbench) -> list[str]:
        return [
            bench.bin("hadolint"),
            "--format=json",
            "--failure-threshold=style",
            DOCKERFILE,
        ]

    def findings(self, done: Completed, bench: Workbench) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            yield Finding(
                self.name, row["code"], row["message"], row["file"], row["line"]
            )


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
        done = bake(images, bench, bench.root, "checked")
        if done.code != 0:
            return stopped(self.name, done) or failed_step(self.name, done, bench)
        asked = images.engine.docker(
            "image", "inspect", *(images.name(target) for target in images.targets)
        )
        if asked.code != 0:
            return stopped_or_crashed(self.name, asked)
        for target, said in zip(images.targets, json.loads(asked.stdout)):
            images.ids[target], images.sizes[target] = said["Id"], said["Size"]
            images.labels[target] = said["Config"]["Labels"] or {}
        ran = steps(done)
        words = (
            f"{count(len(images.ids), 'image')} in {done.seconds:.1f} s,"
            f" {count(len(ran), 'step')} not in the cache"
        )
        return Outcome(
            Status.SUCCESS,
            words,
            data={"seconds": round(done.seconds, 1), "steps": ran},
        )


def bake(
    images: Images,
    bench: Workbench,
    context: Path,
    tag: str,
    *options: str,
    comment: str = "",
    targets: Sequence[str] = (),
) -> Completed:
    """Build targets, all of the run's if none is named, from a context, under names of
    this checkout.

    `comment` is added to pip's settings.
    """
    settings = {
        "PREFIX": images.engine.prefix,
        "TAG": tag,
        "VERSION": images.version,
        "REVISION": git.commit(bench.root) or "unknown",
        "SOURCE": source(bench),
        "SOURCE_DATE_EPOCH": str(git.commit_time(bench.root)),
        "LAKE_CI_PIP_CONF": pip_conf(bench.env) + comment,
    }
    command = [
        "docker",
        "buildx",
        "bake",
        "--load",
        "--progress=plain",
        f"--file={BAKE}",
        *options,
        *(targets or images.targets),
    ]
    return bench.execute(command, cwd=context, env={**images.engine.env, **settings})


def source(bench: Workbench) -> str:
    """Where the source is: what git calls `origin`, without the password that may stand
    there.
    """
    remote = git.ask(bench.root, "remote", "get-url", "origin")
    return re.sub(r"(?<=://)[^/@]*@", "", (remote or "").strip()) or "unknown"


def pip_conf(env: Mapping[str, str]) -> str:
    """This machine's settings of pip, as a pip.conf for the builds: the index, and how
    it is reached.

    From the variables of pip, or those that uv has for the same; files and folders of
    this machine mean nothing there.
    """
    names = {
        "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        "extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"),
        "trusted-host": ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
        "proxy": ("PIP_PROXY",),
        "timeout": ("PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT"),
    }
    lines = ["[global]"]
    for key, variables in names.items():
        value = next((env[name] for name in variables if env.get(name)), None)
        lines += [f"{key} = {value}"] if value else []
    return "\n".join([*lines, ""])


def version(bench: Workbench) -> str:
    """The version of the checkout, as the wheel of `nox -s build` has it. Raises
    ValueError where git cannot tell.
    """
    done = bench.execute([str(bench.python), "-m", "versioningit"])
    if done.code != 0:
        raise ValueError(f"versioningit cannot tell the version: {done.last_lines(1)}")
    return done.stdout.strip()


def gather_jars(bench: Workbench) -> None:
    """Put the locked jars where the build takes them from: a context holds no symbolic
    links.
    """
    source, target = Path(bench.env["LAKE_CI_JARS"]), bench.root / WORK / "jars"
    wanted = {jar.file for jar in read_jars(bench.root)}
    if target.is_dir() and {path.name for path in target.iterdir()} == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=lambda _, names: set(names) - wanted)


def steps(done: Completed) -> list[str]:
    """The steps that a build had to take, as `STAGE NUMBER/OF`: those of the Dockerfile
    that no cache held.
    """
    named = dict(
        re.findall(
            r"^#(\d+) \[(?:[\w-]+ )?([\w-]+ +\d+/\d+)\] (?:RUN|COPY|WORKDIR|ADD)",
            done.stderr,
            re.MULTILINE,
        )
    )
    cached = set(re.findall(r"^#(\d+) CACHED", done.stderr, re.MULTILINE))
    return sorted({name for number, name in named.items() if number not in cached})


def failed_step(name: str, done: Completed, bench: Workbench) -> Outcome:
    """The outcome of a build that failed: the line of the Dockerfile, and what the step
    said last.
    """
    error = re.findall(r"^ERROR: (.*)$", done.stderr, re.MULTILINE)
    if not error:
        return crashed(name, done)
    _, _, end = done.stderr.rpartition("------\n > ")
    step = re.match(r"\[[^\]]*\] (.*?):?$", end, re.MULTILINE)
    lines = (bench.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
    line = layers.line_of(step[1], lines) if step else None
    said = re.findall(r"^(?:#\d+ )?\d+\.\d+ (.*)$", end, re.MULTILINE)
    message = "\n".join([error[-1], *said[-8:]])
    return Outcome(
        Status.FAILURE,
        error[-1][:200],
        (Finding(name, "build", message, DOCKERFILE, line),),
    )
