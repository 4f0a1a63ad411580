"""Detects the container engine, runs its commands, and cleans up after a run.

Each container has a label with the name of the checkout, and the name of each image
contains the name of the checkout. At its end, each session removes the containers and
images that it has created. If a session was killed, the next session ends the killed
session's processes and removes the killed session's containers and images.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import LakeCiError
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Check, CheckContext
from lake_ci.system.processes import Completed

GET = (
    "install Docker with buildx (https://docs.docker.com/engine/install/), or Podman"
    " with its Docker socket"
)
LABEL = "lake-ci.checkout"
MARK = "LAKE_CI_ENGINE"
# The folder for temporary files of the image checks.
SCRATCH = ".cache/docker/run"
QUERY_TIMEOUT_SECONDS = 20


@dataclass
class Engine:
    """The container engine of one run.

    Attributes:
        ctx: the context that runs the engine's commands.
        checkout: a short name of the checkout, which does not change between runs.
        version: the version of the engine; empty if no engine answers.
        missing: the reason why the engine cannot be used; empty if the engine can be
            used.
    """

    ctx: CheckContext
    checkout: str
    version: str = ""
    missing: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of the engine's commands.

        One variable marks the processes of a run. If a run is killed, the next run
        finds the processes of the killed run by this mark.
        """
        return {
            **self.ctx.env,
            MARK: self.checkout,
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }

    def image(self, target: str, tag: str = "checked") -> str:
        """Return the temporary name of an image of this checkout."""
        return f"{self.prefix}{target}:{tag}"

    @property
    def prefix(self) -> str:
        return f"lake-ci-{self.checkout}/"

    def docker(self, *arguments: str, cwd: Path | None = None) -> Completed:
        """Run a `docker` command, within the time limit of the job."""
        env = {**self.ctx.env_of("docker"), **self.env}
        return self.ctx.execute(["docker", *arguments], env=env, cwd=cwd)

    def run(self, image: str, *command: str, options: Sequence[str] = ()) -> Completed:
        """Run a container to its end, and remove it."""
        return self.docker("run", "--rm", *self.labelled, *options, image, *command)

    def volume(self, name: str) -> str:
        """Create an empty volume, which is removed after this run; return its name.

        Raises LakeCiError if docker fails.
        """
        made = self.docker(
            "volume", "create", *self.labelled, f"lake-ci-{self.checkout}-{name}"
        )
        if made.code != 0:
            raise LakeCiError(f"docker could not create a volume: {made.last_lines(1)}")
        return made.stdout.strip()

    @property
    def labelled(self) -> list[str]:
        return ["--label", f"{LABEL}={self.checkout}"]

    def sweep(self) -> list[str]:
        """Remove the processes, containers, volumes and images of this checkout.

        The commands do not run through `ctx`, because `ctx` starts no commands after a
        signal.

        Returns:
            The names of the removed objects.
        """
        left = [f"process {pid}" for pid in _end_marked(self.checkout)]
        containers = self._ask(
            "ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.checkout}"
        )
        if containers:
            self._ask("rm", "--force", "--volumes", *containers)
        volumes = self._ask(
            "volume", "ls", "--quiet", f"--filter=label={LABEL}={self.checkout}"
        )
        if volumes:
            self._ask("volume", "rm", "--force", *volumes)
        images = self._ask(
            "images",
            "--format={{.Repository}}:{{.Tag}}",
            f"--filter=reference={self.prefix}*",
        )
        if images:
            self._ask("rmi", "--force", *images)
        shutil.rmtree(self.ctx.root / SCRATCH, ignore_errors=True)
        named = {"container": containers, "volume": volumes, "image": images}
        return [
            *left,
            *(f"{kind} {name}" for kind, names in named.items() for name in names),
        ]

    def _ask(self, *arguments: str) -> list[str]:
        done = subprocess.run(
            ["docker", *arguments],
            env=self.ctx.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=QUERY_TIMEOUT_SECONDS,
        )
        return done.stdout.split()


@contextlib.contextmanager
def engine(ctx: CheckContext) -> Iterator[Engine]:
    """Provide the engine to a `with` block, and clean up before and after the block."""
    found = Engine(ctx, hashlib.sha256(str(ctx.root).encode()).hexdigest()[:12])
    _detect(found)
    if found.missing:
        yield found
        return
    swept = found.sweep()
    if swept:
        ctx.notes.append(f"removed leftovers of an earlier run: {', '.join(swept)}")
    try:
        yield found
    finally:
        found.sweep()


def _detect(found: Engine) -> None:
    if shutil.which("docker", path=found.ctx.env.get("PATH")) is None:
        found.missing = f"docker is not on PATH: {GET}"
        return
    answer = found.docker(
        "version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}"
    )
    if answer.code != 0:
        found.missing = (
            f"no container engine answers: {answer.last_lines(1)}; start it, or {GET}"
        )
        return
    version, _, api_version = answer.stdout.strip().partition(" ")
    # Set the version of the engine's API. By default, buildx uses the newest API
    # version, even if the engine does not support this version.
    found.ctx.env.setdefault("DOCKER_API_VERSION", api_version)
    buildx = found.docker("buildx", "version")
    if buildx.code != 0:
        found.missing = f"docker has no buildx: {GET}"
        return
    match = re.search(r"v\d[\w.]*", buildx.stdout)
    found.version = f"{version}, buildx{f' {match[0]}' if match else ''}"


class EngineCheck(Check):
    """Check that a container engine with BuildKit answers."""

    name = "engine"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, ctx: CheckContext) -> Outcome:
        if self.engine.missing:
            return Outcome(
                Status.WARNING,
                self.engine.missing,
                not_checked=f"no image was built: {self.engine.missing}",
            )
        swept = "; ".join(ctx.notes)
        return Outcome(
            Status.SUCCESS, f"{self.engine.version}{f'; {swept}' if swept else ''}"
        )


def _end_marked(checkout: str) -> list[int]:
    """On Linux, kill the processes that a killed run of this checkout has left."""
    ended = []
    wanted = f"{MARK}={checkout}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                wanted in (folder / "environ").read_bytes().split(b"\0")
                and int(folder.name) != os.getpid()
            ):
                os.kill(int(folder.name), signal.SIGKILL)
                ended.append(int(folder.name))
    return ended
