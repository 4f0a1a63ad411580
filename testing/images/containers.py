"""Containers of the image under test, with the restrictions of production."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

Completed = subprocess.CompletedProcess[str]

# The same restrictions as in the Kubernetes manifests: a read-only root, a file system
# in memory for /tmp, and no privileges.
CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
OFFLINE = "--network=none"
# Files in /tmp are executable, because Spark extracts native libraries to /tmp.
TMPFS = "--tmpfs=/tmp:rw,exec,nosuid,size=1g"
# The time limits of a `docker` command, and of a command in a container. Even a busy
# machine needs less time, so only a hang reaches a limit.
COMMAND_SECONDS = 120
RUN_SECONDS = 900
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Engine:
    """The container engine, for the tests of one module.

    Attributes:
        image: the name of the image under test.
        label: the label by which the session finds and removes the containers and
            volumes that killed tests leave.
        mark: the label of the containers and volumes that these tests create.
    """

    image: str
    label: str
    mark: str = field(default_factory=lambda: f"lake-ci.test={uuid.uuid4().hex}")

    @property
    def labels(self) -> tuple[str, ...]:
        return (f"--label={self.label}", f"--label={self.mark}")

    def ask(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> Completed:
        """Run `docker` until it ends. If the time limit is reached, the test fails."""
        __tracebackhide__ = True
        try:
            return subprocess.run(
                ["docker", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            pytest.fail(f"docker {arguments[0]} took more than {seconds:.0f} s")

    def answer(self, *arguments: str) -> str:
        """Return the output of `docker`. If `docker` exits with an error, the test
        fails.
        """
        __tracebackhide__ = True
        done = self.ask(*arguments)
        if done.returncode != 0:
            pytest.fail(reason(f"docker {arguments[0]}", done))
        return done.stdout.strip()

    def run(self, *command: str, options: tuple[str, ...] = ()) -> Completed:
        """Run a container until it ends, and remove the container."""
        __tracebackhide__ = True
        start = ("run", "--rm", *self.labels, *options, self.image)
        return self.ask(*start, *command, seconds=RUN_SECONDS)

    def volume(self) -> str:
        """Return the name of a new, empty volume."""
        __tracebackhide__ = True
        return self.answer("volume", "create", *self.labels)

    def remove(self) -> None:
        """Remove all containers and volumes of the tests, even running containers."""
        __tracebackhide__ = True
        chosen = f"--filter=label={self.mark}"
        containers = self.answer("ps", "--all", "--quiet", chosen).split()
        if containers:
            self.answer("rm", "--force", "--volumes", *containers)
        volumes = self.answer("volume", "ls", "--quiet", chosen).split()
        if volumes:
            self.answer("volume", "rm", "--force", *volumes)


def reason(what: str, done: Completed) -> str:
    """Return a message for a failed command: its exit code, the last line of its
    output, and the earlier lines. The last line of the output comes first, because a
    report may show only one line.
    """
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-10:]
    last = f": {lines[-1]}" if lines else ""
    return "\n".join([f"{what} exited with {done.returncode}{last}", *lines[:-1]])


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it is true or the time limit is reached."""
    deadline, wait = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        wait.wait(POLL_SECONDS)
    return True
