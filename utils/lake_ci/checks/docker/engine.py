"""The container engine: whether there is one, what a run may start on it, and what a
run must not leave there.

Containers carry a label of the checkout, images a name of it. Both are removed when the
session ends; what a killed session left is removed by the next one, with the processes
that were still building or running.
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
from lake_ci.runner.check import Tool, Workbench
from lake_ci.system.processes import Completed

GET = (
    "install Docker with buildx (https://docs.docker.com/engine/install/), or Podman"
    " with its Docker socket"
)
LABEL = "lake-ci.checkout"
MARK = "LAKE_CI_ENGINE"
# What the images' checks write for a moment.
SCRATCH = ".cache/docker/run"
ASKED_SECONDS = 20


@dataclass
class Engine:
    """An engine, as one run uses it.

    Attributes:
        bench: where its commands run.
        checkout: a short name of the checkout, the same for each of its runs.
        version: what the engine says of itself; empty where none answers.
        missing: what is wrong where it cannot be used.
    """

    bench: Workbench
    checkout: str
    version: str = ""
    missing: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands; processes that a killed run left behind are
        known by the mark.
        """
        return {
            **self.bench.env,
            MARK: self.checkout,
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }

    def image(self, target: str, tag: str = "checked") -> str:
        """The name of an image of this checkout while a run has it."""
        return f"{self.prefix}{target}:{tag}"

    @property
    def prefix(self) -> str:
        return f"lake-ci-{self.checkout}/"

    def docker(self, *arguments: str, cwd: Path | None = None) -> Completed:
        """Run `docker` to its end, within the job's time limit."""
        return self.bench.execute(["docker", *arguments], env=self.env, cwd=cwd)

    def run(self, image: str, *command: str, options: Sequence[str] = ()) -> Completed:
        """Run a container to its end, and keep nothing of it."""
        return self.docker("run", "--rm", *self.labelled, *options, image, *command)

    def volume(self, name: str) -> str:
        """An empty volume of this run, removed with it. Raises LakeCiError."""
        made = self.docker(
            "volume", "create", *self.labelled, f"lake-ci-{self.checkout}-{name}"
        )
        if made.code != 0:
            raise LakeCiError(f"docker made no volume: {made.last_lines(1)}")
        return made.stdout.strip()

    @property
    def labelled(self) -> list[str]:
        return ["--label", f"{LABEL}={self.checkout}"]

    def sweep(self) -> list[str]:
        """Remove what runs of this checkout have left: processes, containers, images.
        Returns their names.

        Also after a signal, when no tool may be started any more: so not by way of the
        bench.
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
        shutil.rmtree(self.bench.root / SCRATCH, ignore_errors=True)
        named = {"container": containers, "volume": volumes, "image": images}
        return [
            *left,
            *(f"{kind} {name}" for kind, names in named.items() for name in names),
        ]

    def _ask(self, *arguments: str) -> list[str]:
        done = subprocess.run(
            ["docker", *arguments],
            env=self.bench.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ASKED_SECONDS,
        )
        return done.stdout.split()


@contextlib.contextmanager
def engine(bench: Workbench) -> Iterator[Engine]:
    """The engine for as long as a block runs; before and after it, nothing of this
    checkout is there.
    """
    found = Engine(bench, hashlib.sha256(str(bench.root).encode()).hexdigest()[:12])
    _look(found)
    if found.missing:
        yield found
        return
    swept = found.sweep()
    if swept:
        bench.notes.append(f"an earlier run had left {', '.join(swept)}")
    try:
        yield found
    finally:
        found.sweep()


def _look(found: Engine) -> None:
    if shutil.which("docker", path=found.bench.env.get("PATH")) is None:
        found.missing = f"there is no docker on PATH: {GET}"
        return
    asked = found.docker(
        "version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}"
    )
    if asked.code != 0:
        found.missing = (
            f"no container engine answers: {asked.last_lines(1)}; start it, or {GET}"
        )
        return
    version, _, speaks = asked.stdout.strip().partition(" ")
    # buildx speaks the newest version of the API, whatever the engine understands.
    found.bench.env.setdefault("DOCKER_API_VERSION", speaks)
    buildx = found.docker("buildx", "version")
    if buildx.code != 0:
        found.missing = f"docker has no buildx: {GET}"
        return
    match = re.search(r"v\d[\w.]*", buildx.stdout)
    found.version = f"{version}, buildx{f' {match[0]}' if match else ''}"


class Present(Tool):
    """A container engine with BuildKit answers."""

    name = "engine"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, bench: Workbench) -> Outcome:
        if self.engine.missing:
            return Outcome(
                Status.WARNING,
                self.engine.missing,
                weaker=f"no image was built: {self.engine.missing}",
            )
        swept = "; ".join(bench.notes)
        return Outcome(
            Status.SUCCESS, f"{self.engine.version}{f'; {swept}' if swept else ''}"
        )


def _end_marked(checkout: str) -> list[int]:
    """End the processes that a killed run of this checkout left; on Linux, where an
    environment can be read.
    """
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
