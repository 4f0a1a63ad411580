"""Parses the options of `nox -s k8s`, lints the YAML, and builds each overlay."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci.checks.kubernetes.manifests import FOLDER, BuildResult, Rendered
from lake_ci.model.job import ENVIRONMENTS
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import (
    Check,
    CheckContext,
    CommandCheck,
    stopped,
    stopped_or_crashed,
)
from lake_ci.runner.options import Parser
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

WORK = ".cache/kubernetes"
RENDER = "scripts/render_manifests.py"
# A message of kustomize ends with the file's path, relative to a folder that kustomize
# has read.
PLACES = (
    re.compile(
        r"yaml: line (?P<line>\d+): (?P<message>[^\n]+?)(?: in File: (?P<file>\S+))?$",
        re.M,
    ),
    re.compile(
        r"line (?P<line>\d+): (?P<message>mapping key .+?) in (?:File:"
        r" )?(?P<file>\S+\.ya?ml)",
        re.M,
    ),
)


@dataclass(frozen=True)
class KubernetesOptions:
    """The options of `nox -s k8s`, as typed after `--`."""

    environments: tuple[str, ...]
    diff: str | None = None

    @property
    def partial(self) -> bool:
        """Whether the session does less than the whole job."""
        return self.diff is not None or set(self.environments) != set(ENVIRONMENTS)


def parser() -> Parser:
    """Return the parser of the options of `nox -s k8s`."""
    parser = Parser("nox -s k8s --", "Check the manifests of each environment.")
    parser.add_part("--environment", ENVIRONMENTS)
    parser.add_argument(
        "--diff",
        choices=ENVIRONMENTS,
        help="show what would change in the cluster of KUBE_CONTEXT",
    )
    return parser


def options(posargs: Sequence[str]) -> KubernetesOptions:
    """Parse the options after `--`. Raises UsageError."""
    typed = parser().parse_args(list(posargs))
    return KubernetesOptions(tuple(typed.environment) or ENVIRONMENTS, typed.diff)


class YamlLint(CommandCheck):
    """Find tabs, duplicate keys and unquoted `on` in the YAML files with yamllint."""

    name = "yaml"
    LINE = re.compile(
        r"^(?P<file>.+?):(?P<line>\d+):\d+: \[\w+\] (?P<message>.+?)(?:"
        r" \((?P<rule>[\w-]+)\))?$"
    )

    def command(self, ctx: CheckContext) -> list[str]:
        return [
            ctx.bin("yamllint"),
            "--strict",
            "--format=parsable",
            f"--config-file={FOLDER}/.yamllint",
            FOLDER,
        ]

    def findings(self, done: Completed, ctx: CheckContext) -> Iterator[Finding]:
        for line in done.stdout.splitlines():
            match = self.LINE.match(line)
            if match is None:
                raise ValueError(line)
            file = ctx.relative(match["file"])
            yield Finding(
                self.name,
                match["rule"] or "syntax",
                match["message"],
                file,
                int(match["line"]),
            )


class BuildOverlay(Check):
    """Build the objects of an environment with kustomize.

    The objects are written to `reports/k8s/<environment>/manifests.yaml`.

    Attributes:
        result: the built objects, for which other checks wait.
    """

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.name = f"build {environment}"
        self.result = BuildResult()

    def run(self, ctx: CheckContext) -> Outcome:
        try:
            return self.build(ctx)
        finally:
            self.result.set(None)

    def build(self, ctx: CheckContext) -> Outcome:
        """Build the overlay in a second overlay, which adds each object's origin."""
        overlay = f"{FOLDER}/overlays/{self.environment}"
        wrapper = self.places(ctx).parent
        target = os.path.relpath(ctx.root / overlay, wrapper)
        write_whole(
            wrapper / "kustomization.yaml",
            f"resources: [{target}]\nbuildMetadata: [originAnnotations]\n",
        )
        done = ctx.execute([ctx.bin("kubectl"), "kustomize", str(wrapper)])
        if done.code != 0:
            return stopped(self.name, done) or Outcome.of(
                [self.refusal(done, overlay, ctx)]
            )
        built = wrapper / "built.yaml"
        write_whole(built, done.stdout)
        file = ctx.reports / self.environment / "manifests.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        done = ctx.execute([str(ctx.python), RENDER, overlay, str(built), str(file)])
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        write_whole(self.places(ctx), done.stdout)
        rendered = Rendered.from_json(self.environment, str(file), done.stdout)
        self.result.set(rendered)
        return Outcome(Status.SUCCESS, count(len(rendered.manifests), "object"))

    def places(self, ctx: CheckContext) -> Path:
        """Return the path of the JSON file that contains the objects and their sources.

        Checks that run in other processes read this file.
        """
        return ctx.root / WORK / "build" / self.environment / "rendered.json"

    def refusal(self, done: Completed, overlay: str, ctx: CheckContext) -> Finding:
        """Return a failed build's finding, with the file and line from kustomize."""
        output = done.stderr.strip()
        message = output.replace(str(ctx.root) + "/", "").removeprefix("error: ")
        file: str | None = f"{overlay}/kustomization.yaml"
        line = 1
        for place in PLACES:
            match = place.search(output)
            if match and match["file"]:
                named = self.found(match["file"], ctx)
                file, line = (named, int(match["line"])) if named else (file, line)
                break
        return Finding(self.name, "kustomize", message, file, line)

    def found(self, name: str, ctx: CheckContext) -> str | None:
        """Return the repository's file for a file name from kustomize's output.

        The result is None if no file matches the name, or if several files do.
        """
        paths = [
            path
            for path in (ctx.root / FOLDER).rglob(Path(name).name)
            if str(path).endswith("/" + name)
        ]
        return ctx.relative(paths[0]) if len(paths) == 1 else None
