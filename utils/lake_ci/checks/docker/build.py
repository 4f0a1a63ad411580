"""Lints the Dockerfile and builds the images from the checkout."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lake_ci.checks.docker import layers
from lake_ci.checks.docker.engine import SCRATCH, Engine
from lake_ci.checks.docker.settings import BAKE, TARGETS
from lake_ci.checks.lint.locks import read_jars
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.model.settings import Docker
from lake_ci.runner.check import (
    Check,
    CheckContext,
    CommandCheck,
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
    """The images of one run, with the data that checks have collected about them.

    Attributes:
        engine: the container engine that builds the images.
        targets: the images to build.
        settings: the table `[tool.lake_ci.docker]` of pyproject.toml.
        version: the version of the project in the images.
        ids: the ids of the built images, by target.
        sizes: the sizes of the built images in bytes.
        labels: the labels of the built images.
        packages: the version of each Python package in each image; set by
            `ImageContents`.
    """

    engine: Engine
    targets: tuple[str, ...]
    settings: Docker
    version: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)

    def name(self, target: str, tag: str = "checked") -> str:
        """Return the temporary name that an image has during a run."""
        return self.engine.image(target, tag)

    def scratch(self, ctx: CheckContext, name: str) -> Path:
        """Create the temporary folder of this run; if the folder exists, empty it."""
        folder = ctx.root / SCRATCH / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class DockerOptions:
    """The options of `nox -s docker`, as typed after `--`."""

    targets: tuple[str, ...]
    once: bool = False

    @property
    def partial(self) -> bool:
        """Whether these options skip a part of the job."""
        return self.once or self.targets != TARGETS


def parser() -> Parser:
    """Return the parser of the options of `nox -s docker`."""
    parser = Parser("nox -s docker --", "Build the images and smoke-test them.")
    parser.add_part("--target", TARGETS, "image")
    parser.add_argument(
        "--once",
        action="store_true",
        help="skip the second build that checks reproducibility",
    )
    return parser


def options(posargs: Sequence[str]) -> DockerOptions:
    """Parse the options after `--`. Raises UsageError if an option is wrong."""
    typed = parser().parse_args(list(posargs))
    return DockerOptions(tuple(typed.target) or TARGETS, typed.once)


class Hadolint(CommandCheck):
    """Lint the Dockerfile with hadolint, and its shell commands with ShellCheck."""

    name = "hadolint"

    def command(self, ctx: CheckContext) -> list[str]:
        return [
            ctx.bin("hadolint"),
            "--format=json",
            "--failure-threshold=style",
            DOCKERFILE,
        ]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for row in json.loads(done.stdout):
            yield Finding(
                self.name, row["code"], row["message"], row["file"], row["line"]
            )


class ImageCheck(Check):
    """The base class of checks that need built images, and are skipped without them."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def run(self, ctx: CheckContext) -> Outcome:
        if not self.images.ids:
            return Outcome(Status.SKIPPED, "no image was built")
        return self.check(ctx)

    def check(self, ctx: CheckContext) -> Outcome:
        """Check the built images, and return the outcome."""
        raise NotImplementedError


class BuildImages(Check):
    """Build the images from the checkout in parallel, with shared layers."""

    name = "build"
    exclusive = True

    def __init__(self, images: Images) -> None:
        self.images = images

    def run(self, ctx: CheckContext) -> Outcome:
        images = self.images
        if images.engine.missing:
            return Outcome(Status.SKIPPED, "no container engine")
        images.version = checkout_version(ctx)
        gather_jars(ctx)
        done = bake(images, ctx, ctx.root, "checked")
        if done.code != 0:
            return stopped(self.name, done) or failed_step(self.name, done, ctx)
        inspected = images.engine.docker(
            "image", "inspect", *(images.name(target) for target in images.targets)
        )
        if inspected.code != 0:
            return stopped_or_crashed(self.name, inspected)
        for target, image in zip(images.targets, json.loads(inspected.stdout)):
            images.ids[target], images.sizes[target] = image["Id"], image["Size"]
            images.labels[target] = image["Config"]["Labels"] or {}
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
    ctx: CheckContext,
    context: Path,
    tag: str,
    *options: str,
    comment: str = "",
    targets: Sequence[str] = (),
) -> Completed:
    """Build images from a context folder, and give the images temporary names.

    Args:
        comment: a comment to add to the pip configuration file of the builds.
        targets: the images to build; all images of the run by default.
    """
    settings = {
        "PREFIX": images.engine.prefix,
        "TAG": tag,
        "VERSION": images.version,
        "REVISION": git.commit(ctx.root) or "unknown",
        "SOURCE": source(ctx),
        "SOURCE_DATE_EPOCH": str(git.commit_time(ctx.root)),
        "LAKE_CI_PIP_CONF": pip_conf(ctx.env_of("docker")) + comment,
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
    env = {**ctx.env_of("docker"), **images.engine.env, **settings}
    return ctx.execute(command, cwd=context, env=env)


def source(ctx: CheckContext) -> str:
    """Return the URL of the git remote `origin`, without a password."""
    remote = git.ask(ctx.root, "remote", "get-url", "origin")
    return re.sub(r"(?<=://)[^/@]*@", "", (remote or "").strip()) or "unknown"


def pip_conf(env: Mapping[str, str]) -> str:
    """Return the text of a pip.conf that names this machine's package index and proxy.

    The values come from the environment variables of pip, or from uv's variables with
    the same meaning. The text contains no paths on this machine, because these paths do
    not exist in the build.
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


def checkout_version(ctx: CheckContext) -> str:
    """Return the version of the checkout, as `nox -s build` writes it into the wheel.

    Raises:
        ValueError: git cannot determine the version.
    """
    done = ctx.execute([str(ctx.python), "-m", "versioningit"])
    if done.code != 0:
        raise ValueError(
            f"versioningit could not determine the version: {done.last_lines(1)}"
        )
    return done.stdout.strip()


def gather_jars(ctx: CheckContext) -> None:
    """Copy the locked jars into the build context, where symlinks are not allowed."""
    source, target = Path(ctx.env["LAKE_CI_JARS"]), ctx.root / WORK / "jars"
    wanted = {jar.file for jar in read_jars(ctx.root)}
    if target.is_dir() and {path.name for path in target.iterdir()} == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=lambda _, names: set(names) - wanted)


def steps(done: Completed) -> list[str]:
    """Return the steps that were not in the cache, each as `STAGE NUMBER/TOTAL`."""
    named = dict(
        re.findall(
            r"^#(\d+) \[(?:[\w-]+ )?([\w-]+ +\d+/\d+)\] (?:RUN|COPY|WORKDIR|ADD)",
            done.stderr,
            re.MULTILINE,
        )
    )
    cached = set(re.findall(r"^#(\d+) CACHED", done.stderr, re.MULTILINE))
    return sorted({name for number, name in named.items() if number not in cached})


def failed_step(name: str, done: Completed, ctx: CheckContext) -> Outcome:
    """Return the outcome of a failed build, with the output and the failed line."""
    error = re.findall(r"^ERROR: (.*)$", done.stderr, re.MULTILINE)
    if not error:
        return crashed(name, done)
    _, _, end = done.stderr.rpartition("------\n > ")
    step = re.match(r"\[[^\]]*\] (.*?):?$", end, re.MULTILINE)
    lines = (ctx.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
    line = layers.instruction_line(step[1], lines) if step else None
    output = re.findall(r"^(?:#\d+ )?\d+\.\d+ (.*)$", end, re.MULTILINE)
    message = "\n".join([error[-1], *output[-8:]])
    return Outcome(
        Status.FAILURE,
        error[-1][:200],
        (Finding(name, "build", message, DOCKERFILE, line),),
    )
