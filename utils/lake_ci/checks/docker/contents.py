"""Checks the configuration, contents and size of the images.

The checks write reports/docker/images.json, a list with one object for each image. The
fields are name, target, base (the base image), id, size (in bytes), labels and
packages. An example of a name is `PREFIX-api:1.2.3`, without a registry. The field
`labels` is an object. The field `packages` is an object that contains the version of
each Python package. For each image, the checks also write
`reports/docker/sbom-<target>.json`, an SBOM in the format CycloneDX.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from lake_ci.checks.docker.base_image import read_dockerfile
from lake_ci.checks.docker.build import DOCKERFILE, ImageCheck, Images
from lake_ci.checks.security import locked_packages
from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.locked_packages import Pin
from lake_ci.checks.security.safety import Safety
from lake_ci.model.results import Finding, Outcome, Status, count
from lake_ci.runner.check import CheckContext, stopped_or_crashed
from lake_ci.system.atomic_write import write_whole

INSPECT = "scripts/inspect_image.py"
LABELS = [
    f"org.opencontainers.image.{name}"
    for name in ("title", "version", "revision", "source", "licenses")
]
MEGABYTE = 1_000_000


class Configuration(ImageCheck):
    """Check each image's user, labels, init process, stop signal and health check."""

    name = "configuration"

    def check(self, ctx: CheckContext) -> Outcome:
        names = [self.images.name(target) for target in self.images.ids]
        done = self.images.engine.docker("image", "inspect", *names)
        if done.code != 0:
            return stopped_or_crashed(self.name, done)
        found: list[Finding] = []
        for target, image in zip(self.images.ids, json.loads(done.stdout)):
            found += [
                Finding(
                    self.name,
                    rule,
                    f"{target}: {message}",
                    DOCKERFILE,
                    stage_line(ctx, target),
                )
                for rule, message in configuration_problems(image["Config"], target)
            ]
        return Outcome.of(
            found,
            clean=(
                f"{count(len(names), 'image')}:"
                " user, labels, init, signal, health check"
            ),
        )


def configuration_problems(
    config: dict[str, Any], target: str
) -> Iterator[tuple[str, str]]:
    """Yield the problems of an image's configuration, each as rule and message."""
    user, entry = config.get("User") or "root", config.get("Entrypoint") or [""]
    if not re.fullmatch(r"[1-9]\d*(:\d+)?", user):
        yield (
            "user",
            (
                f"it runs as {user}; set USER to a number above 0, so that Kubernetes"
                " can verify that it is not root"
            ),
        )
    labels = config.get("Labels") or {}
    for label in LABELS:
        if not labels.get(label):
            yield "label", f"the label {label} is missing"
    if entry[0] != "dumb-init":
        yield (
            "init",
            (
                "no init process forwards signals and reaps processes: begin ENTRYPOINT"
                " with dumb-init"
            ),
        )
    if config.get("StopSignal") != "SIGTERM":
        yield "signal", "STOPSIGNAL SIGTERM is missing"
    yield from _health_check_problems(config.get("Healthcheck") or {}, target)


def _health_check_problems(
    check: Mapping[str, Any], target: str
) -> Iterator[tuple[str, str]]:
    test = check.get("Test")
    if not test:
        yield (
            "health",
            (
                "HEALTHCHECK is missing: set one, or HEALTHCHECK NONE for an image that"
                " runs to completion"
            ),
        )
    elif target == "api" and (test == ["NONE"] or "curl" in " ".join(test)):
        yield "health", "a service needs a HEALTHCHECK that does not use curl"


class ImageContents(ImageCheck):
    """Check the files in each image.

    Each image must contain the Python package that the settings require, and must not
    contain a setuid program. Runtime images must not contain a compiler, a cache, a
    test, pip or git.
    """

    name = "contents"

    def check(self, ctx: CheckContext) -> Outcome:
        found: list[Finding] = []
        for target in self.images.ids:
            options = ["--network=none", "--user=0:0", "--entrypoint=python"]
            options += [f"--volume={ctx.root / INSPECT}:/inspect.py:ro"]
            done = self.images.engine.run(
                self.images.name(target), "/inspect.py", options=options
            )
            if done.code != 0:
                return stopped_or_crashed(self.name, done)
            inside = json.loads(done.stdout)
            self.images.packages[target] = inside["packages"]
            self._write_sbom(target, inside, ctx)
            line = stage_line(ctx, target)
            found += [
                Finding(self.name, rule, f"{target}: {message}", DOCKERFILE, line)
                for rule, message in misplaced(
                    inside, target, self.images.settings.packages.get(target)
                )
            ]
        packages = sum(len(each) for each in self.images.packages.values())
        return Outcome.of(
            found,
            clean=(
                f"{packages} Python packages in {count(len(self.images.ids), 'image')}"
            ),
        )

    def _write_sbom(
        self, target: str, inside: dict[str, Any], ctx: CheckContext
    ) -> None:
        components = [
            component("pypi", name, version)
            for name, version in sorted(inside["packages"].items())
        ]
        components += [
            component("deb/debian", name, version)
            for name, version in sorted(inside["debian"].items())
        ]
        about = component(
            "oci", self.images.settings.image(target), self.images.version
        ) | {"type": "container"}
        document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
        sbom = document | {"metadata": {"component": about}, "components": components}
        write_whole(
            ctx.reports / f"sbom-{target}.json", json.dumps(sbom, indent=1) + "\n"
        )


def misplaced(
    inside: dict[str, Any], target: str, package: str | None
) -> Iterator[tuple[str, str]]:
    """Yield the problems of an image's contents, each as rule and message.

    Args:
        inside: the output of scripts/inspect_image.py for the image.
        package: the Python package that the image must contain, if any.
    """
    if package is not None and package not in inside["packages"]:
        yield "package", f"the Python package {package} is not installed"
    for path in inside["setuid"]:
        yield "setuid", f"{path} is setuid or setgid: chmod a-s"
    for path in [] if target == "dev" else [*inside["tools"], *inside["unneeded"]]:
        yield "unneeded", f"{path} is not allowed in a runtime image"


def component(kind: str, name: str, version: str) -> dict[str, str]:
    """Return a package as a component of a CycloneDX bill of materials."""
    purl = f"pkg:{kind}/{name.lower()}@{version.replace('+', '%2B')}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }


class Size(ImageCheck):
    """Check that no image is larger than `[tool.lake_ci.docker.megabytes]` allows."""

    name = "size"

    def check(self, ctx: CheckContext) -> Outcome:
        budgets = self.images.settings.megabytes
        found: list[Finding] = []
        words = []
        for target, size in self.images.sizes.items():
            words.append(f"{target} {size / MEGABYTE:.0f}")
            if size > budgets[target] * MEGABYTE:
                message = (
                    f"{target} is {size / MEGABYTE:.0f} MB, its limit is"
                    f" {budgets[target]} MB"
                )
                found.append(
                    Finding(
                        self.name,
                        "budget",
                        message,
                        "pyproject.toml",
                        budget_line(ctx, target),
                    )
                )
        return Outcome.of(
            found, clean=f"{', '.join(words)} MB", sizes=dict(self.images.sizes)
        )


class Packages(Safety):
    """Run safety on the Python packages that are installed in the images."""

    name = "packages"
    resolves = False

    def __init__(
        self, images: Images, register: Register, today: date, **more: Any
    ) -> None:
        super().__init__(register, today, **more)
        self.images = images

    def run(self, ctx: CheckContext) -> Outcome:
        if not self.images.packages:
            return Outcome(Status.SKIPPED, "no image was inspected")
        return super().run(ctx)

    def listed(self, ctx: CheckContext) -> tuple[list[Path], list[Pin]]:
        files: list[Path] = []
        found: list[Pin] = []
        for target, packages in self.images.packages.items():
            path = ctx.reports / f"packages-{target}.txt"
            rows = [
                f"{name}=={version}\n"
                for name, version in sorted(packages.items())
                if name != self.images.settings.packages.get(target)
            ]
            write_whole(path, "".join(rows))
            files.append(path)
            found += locked_packages.lock_pins(path, ctx.root)
        return files, found


class Inventory(ImageCheck):
    """Write reports/docker/images.json, the list of the images that were built."""

    name = "inventory"

    def check(self, ctx: CheckContext) -> Outcome:
        images = self.images
        base = read_dockerfile(ctx).base_image(ctx.env)
        rows = [
            {
                "name": f"{images.settings.image(target)}:{image_tag(images.version)}",
                "target": target,
                "base": base,
                "id": images.ids[target],
                "size": images.sizes[target],
                "labels": images.labels[target],
                "packages": images.packages.get(target, {}),
            }
            for target in images.ids
        ]
        write_whole(ctx.reports / "images.json", json.dumps(rows, indent=1) + "\n")
        return Outcome(Status.SUCCESS, ", ".join(str(row["name"]) for row in rows))


def image_tag(version: str) -> str:
    """Return the image tag for a version, without `+`, which no tag may contain."""
    return version.replace("+", "-")


def stage_line(ctx: CheckContext, target: str) -> int:
    """Return the line of the Dockerfile where a target's stage begins."""
    lines = (ctx.root / DOCKERFILE).read_text(encoding="utf-8").splitlines()
    return next(
        (
            n
            for n, line in enumerate(lines, 1)
            if re.search(rf"^FROM .* AS {target}$", line)
        ),
        1,
    )


def budget_line(ctx: CheckContext, target: str) -> int:
    """Return the line in pyproject.toml that sets the size limit of a target."""
    lines = (ctx.root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = (
        lines.index("[tool.lake_ci.docker]") if "[tool.lake_ci.docker]" in lines else 0
    )
    return next(
        (
            n
            for n, line in enumerate(lines[start:], start + 1)
            if re.search(rf"\b{target} = \d", line)
        ),
        start + 1,
    )
