"""Checks that Dockerfiles pin the images of other projects by digest.

A tag can point to a different image tomorrow, so a Dockerfile that names an image only
by its tag is not reproducible. For a machine that cannot reach a registry, the
environment variable `BASE` can name a different base image. If `BASE` is set, the row
of this check shows both base images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lake_ci.checks.docker.build import DOCKERFILE
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system import git

BASE = "BASE"
FILES = (":(glob)**/Dockerfile", ":(glob)**/Dockerfile.*", ":(glob)**/*.Dockerfile")
PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
ARGUMENT = re.compile(r"ARG\s+(\w+)=(\S+)", re.IGNORECASE)
FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
# `COPY --from=IMAGE` and `RUN --mount=type=bind,from=IMAGE`.
COPIED = re.compile(r"(?:--|,)from=([^\s,]+)")
VARIABLE = re.compile(r"\$\{?(\w+)(?::-([^}]*))?\}?")


@dataclass(frozen=True)
class ImageReference:
    """The name of an image in a Dockerfile, and the line that contains the name."""

    name: str
    line: int


class Dockerfile:
    """The images that a Dockerfile uses.

    Attributes:
        stages: the image that each stage starts from, by the stage's name.
        outside: the images that the Dockerfile uses, but does not build as stages.
    """

    def __init__(self, text: str) -> None:
        self._arguments: dict[str, ImageReference] = {}
        self.stages: dict[str, str] = {}
        self.outside: list[ImageReference] = []
        for number, line in enumerate(text.splitlines(), 1):
            if match := FROM.match(line):
                self._add(match[1], number)
                stage = match[2] or str(len(self.stages))
                self.stages[stage.lower()] = self._first_image(self._expand(match[1]))
            elif (match := ARGUMENT.match(line)) and not self.stages:
                self._arguments[match[1]] = ImageReference(match[2], number)
            elif not line.lstrip().startswith("#"):
                for name in COPIED.findall(line):
                    self._add(name, number)

    def base_image(self, env: Mapping[str, str]) -> str:
        """Return the base image that a build with these environment variables uses."""
        return self._first_image(env.get(BASE) or self._expand(f"${BASE}"))

    def _first_image(self, name: str) -> str:
        """Return the image that a stage starts from; return other names unchanged."""
        return self.stages.get(name.lower(), name)

    def _add(self, text: str, line: int) -> None:
        name = self._expand(text)
        if name.lower() in {*self.stages, "scratch"} or name.isdigit():
            return
        match = VARIABLE.fullmatch(text)
        if match and match[1] in self._arguments:
            line = self._arguments[match[1]].line
        if ImageReference(name, line) not in self.outside:
            self.outside.append(ImageReference(name, line))

    def _expand(self, text: str) -> str:
        """Replace variables by the defaults that `ARG` sets before the first stage."""

        def value(match: re.Match[str]) -> str:
            if match[1] in self._arguments:
                return self._arguments[match[1]].name
            return match[2] or match[0]

        return VARIABLE.sub(value, text)


def read_dockerfile(ctx: CheckContext) -> Dockerfile:
    """Read docker/Dockerfile."""
    return Dockerfile((ctx.root / DOCKERFILE).read_text(encoding="utf-8"))


class BaseImage(Check):
    """Check that each image of another project is pinned by digest.

    hadolint and checkov have no rule that requires a digest.
    """

    name = "base"

    def run(self, ctx: CheckContext) -> Outcome:
        found = list(self._unpinned(ctx))
        if found:
            return Outcome.of(found)
        dockerfile = read_dockerfile(ctx)
        pinned, used = dockerfile.base_image({}), dockerfile.base_image(ctx.env)
        detail = used if used == pinned else f"BASE={used} replaces {pinned}"
        return Outcome(Status.SUCCESS, detail)

    def _unpinned(self, ctx: CheckContext) -> Iterator[Finding]:
        for file in git.files(ctx.root, *FILES):
            text = (ctx.root / file).read_text(encoding="utf-8")
            for image in Dockerfile(text).outside:
                if not PINNED.fullmatch(image.name):
                    yield Finding(
                        self.name,
                        "unpinned",
                        f"{image.name} has no digest; write NAME:TAG@sha256:DIGEST;"
                        f" `docker buildx imagetools inspect {image.name}` prints it",
                        file,
                        image.line,
                    )
