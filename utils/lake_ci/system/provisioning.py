"""Waits for resources that a new machine prepares in the background.

On a new machine, `.ci/prepare` starts to prepare the missing resources (`engine`,
`api-server`, `browser`) and does not wait for them. LAKE_CI_PROVISIONING names the
folder with the state of the resources. If this variable is not set, no session waits.
For each resource, the folder contains:

    NAME.resource  the identity in the first line, then lines `VARIABLE=value`. A
                   session uses the resource only if all variables have these values.
    NAME.running   locked (shared) by each process that prepares the resource
    NAME.log       the output of the last attempt
    NAME.ready     exists once the resource is ready
    NAME.observed  the identity, then the first state that was observed
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import MachineError
from lake_ci.system.atomic_write import write_whole

FOLDER = "LAKE_CI_PROVISIONING"
# The `cause` of a result if the machine could not be prepared.
CAUSE = "not-provisioned"
# The preparation takes 9 minutes, but much longer if its processes have low priority.
LIMIT_SECONDS = 60 * 60
POLL_SECONDS = 0.2
LAST_LINES = 12
FULL_BYTES = 100 * 10**6


@dataclass(frozen=True)
class Resource:
    """A resource of the machine that is, or was, prepared in the background.

    Attributes:
        folder: the folder that LAKE_CI_PROVISIONING names.
        name: a name in `Job.setup` or `Job.external_inputs`.
        identity: a text that identifies the resource, even before it is ready.
    """

    folder: Path
    name: str
    identity: str

    @property
    def log(self) -> Path:
        return self._file("log")

    @property
    def is_ready(self) -> bool:
        return self._file("ready").exists()

    @property
    def is_running(self) -> bool:
        """Whether a process is still preparing the resource.

        A killed process does not count, because the system has released its lock.
        """
        try:
            with self._file("running").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def state(self, observe: Callable[[], str]) -> str:
        """Return the state of the resource for a fingerprint.

        The state is the identity, both before and after the resource becomes ready, so
        that the fingerprint does not change. If a later observation differs from the
        first observation, the state is the later observation.

        Args:
            observe: a function that observes and returns the current state.
        """
        if not self.is_ready:
            return self.identity
        now = observe()
        first = self._first_observed()
        if first is None:
            write_whole(self._file("observed"), f"{self.identity}\n{now}")
        return self.identity if first in (None, now) else now

    def last_lines(self) -> str:
        """Return the last lines of the log.

        If the disk is full, the result says so, because the log may be empty.
        """
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            text = ""
        lines = text.splitlines()[-LAST_LINES:] or [f"{self.log} is empty"]
        free = shutil.disk_usage(self.folder).free
        if free < FULL_BYTES:
            lines.append(
                f"the disk is full: {free // 10**6} MB are free at {self.folder}"
            )
        return "\n".join(lines)

    def _first_observed(self) -> str | None:
        try:
            text = self._file("observed").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        identity, _, state = text.partition("\n")
        return state if identity == self.identity else None

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"


def find(env: Mapping[str, str], name: str) -> Resource | None:
    """Return the resource with this name, or None if `env` does not select it."""
    if not env.get(FOLDER):
        return None
    folder = Path(env[FOLDER])
    try:
        text = (folder / f"{name}.resource").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    identity, *conditions = text.splitlines() or [""]
    for condition in conditions:
        variable, _, value = condition.partition("=")
        if env.get(variable, "") != value:
            return None
    return Resource(folder, name, identity)


def wait(
    names: Iterable[str],
    env: Mapping[str, str],
    say: Callable[[str], None],
    limit_seconds: float = LIMIT_SECONDS,
) -> bool:
    """Wait until these resources are ready; return whether a wait was necessary.

    Args:
        say: called with a message for each resource that is still being prepared.

    Raises:
        MachineError: the preparation of a resource failed, or exceeded the time limit;
            the message contains the end of the log.
    """
    deadline = time.monotonic() + limit_seconds
    waited = False
    for name in names:
        resource = find(env, name)
        if resource is not None and not resource.is_ready:
            waited = True
            if resource.is_running:
                say(f"waiting for {name}, which is being prepared; log: {resource.log}")
            _wait_for(resource, deadline)
    return waited


def _wait_for(resource: Resource, deadline: float) -> None:
    while not resource.is_ready:
        # A resource is marked as ready before its lock is released, so check again
        # whether it is ready.
        if not resource.is_running and not resource.is_ready:
            raise _error(resource, "could not be prepared")
        if time.monotonic() >= deadline:
            raise _error(resource, "was not ready within the time limit")
        time.sleep(POLL_SECONDS)


def _error(resource: Resource, what: str) -> MachineError:
    hint = f"full log: {resource.log}; `source .ci/prepare` tries again"
    return MachineError(f"{resource.name} {what}\n{resource.last_lines()}", hint=hint)
