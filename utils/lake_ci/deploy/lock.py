"""Locks an environment, so that only one deploy runs at a time.

A lock file on the volume describes its holder. The lock is stale when the holder's
process has ended or the lock has expired.

The name of a lock file is the id of its deploy. A deploy writes its lock file, and then
lists the lock files of other deploys. If two deploys start at the same time, at least
one of them sees the other deploy's lock file. A deploy deletes a stale lock by the name
of its file, so it cannot delete a new lock that another deploy has just written.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from lake_ci.deploy.client import Workspace
from lake_ci.deploy.errors import RefusedError, StepError, WorkspaceError
from lake_ci.deploy.retries import Clock

# A lock expires this many seconds after the time limit of its deploy, because the
# clocks of two machines may differ.
SKEW_SECONDS = 300.0
TRIES = 3


@dataclass(frozen=True)
class Holder:
    """The holder of a lock.

    Attributes:
        id: the id of the deploy.
        who: the user and the machine, for messages.
        what: what the deploy does, for messages.
        machine: see `machine`.
        process: the id of the deploy's process on the machine.
        born: the start time of the process, because process ids are reused.
        since, expires: when the lock begins and expires, in seconds since 1970.
    """

    id: str
    who: str
    what: str
    machine: str
    process: int
    born: str
    since: float
    expires: float

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, timezone.utc)
        return (
            f"{self.who}, process {self.process}, {self.what}, since"
            f" {since:%Y-%m-%d %H:%M:%S} UTC"
        )


class LostLockError(StepError):
    """This deploy has lost its lock, and must stop because another deploy may run."""


def this_process(what: str, seconds: float, clock: Clock, who: str = "") -> Holder:
    """Return this process as a lock holder, for a deploy of at most `seconds`."""
    name = who or f"{_user()}@{socket.gethostname()}"
    now = clock.now()
    return Holder(
        uuid.uuid4().hex[:16],
        name,
        what,
        machine(),
        os.getpid(),
        born(os.getpid()),
        now,
        now + seconds + SKEW_SECONDS,
    )


class Lock:
    """The lock of an environment.

    Args:
        folder: the folder on the volume that contains the locks.
        alive: a function that returns whether the process of a holder still runs. The
            function is called only for holders on this machine.
    """

    def __init__(
        self,
        workspace: Workspace,
        folder: str,
        clock: Clock,
        *,
        alive: Callable[[Holder], bool] | None = None,
    ) -> None:
        self._workspace = workspace
        self._folder = folder
        self._clock = clock
        self._alive = alive or lives

    def take(self, me: Holder) -> list[Holder]:
        """Acquire the lock; return the holders of stale locks that were deleted.

        Raises RefusedError if another deploy holds the lock; the message names its
        holder.
        """
        cleared: list[Holder] = []
        held = self._living(cleared)
        for _ in range(TRIES):
            if held is not None:
                break
            self._workspace.write(
                self._path(me.id), json.dumps(asdict(me)).encode(), overwrite=False
            )
            if self._read(me.id) != me:
                raise RefusedError(
                    f"the lock {self._path(me.id)} does not hold what was written"
                )
            if self._living(cleared, but=me.id) is None:
                return cleared
            # Two deploys that start at the same time may see each other's lock file.
            # Then each deploy deletes its own file and waits for a random time.
            self._workspace.delete(self._path(me.id))
            self._clock.sleep(random.uniform(0.1, 1.0))
            held = self._living(cleared)
        raise RefusedError(
            f"another deploy holds the lock: {held}",
            "wait for it; if it no longer runs, rerun the command with `--break-lock`",
        )

    def check(self, me: Holder) -> None:
        """Raise LostLockError if `me` no longer holds the lock."""
        if self._read(me.id) != me:
            raise LostLockError(
                "another deploy broke the lock: this deploy stops here and undoes"
                " nothing"
            )

    def give_back(self, me: Holder) -> None:
        """Release the lock."""
        self._workspace.delete(self._path(me.id))

    def break_all(self) -> list[str]:
        """Delete every lock, live or stale; return the former holders."""
        holders = []
        for name in self._workspace.names(self._folder):
            holder = self._read(name.removesuffix(".json"))
            holders.append(str(holder) if holder else f"unknown ({name})")
            self._workspace.delete(f"{self._folder}/{name}")
        return holders

    def holders(self) -> Iterator[tuple[Holder, bool]]:
        """Yield the holders of all locks, and whether each lock is stale."""
        for name in self._workspace.names(self._folder):
            holder = self._read(name.removesuffix(".json"))
            if holder is not None:
                yield holder, self._stale(holder)

    def _living(self, cleared: list[Holder], but: str = "") -> Holder | None:
        for name in self._workspace.names(self._folder):
            key = name.removesuffix(".json")
            if key == but:
                continue
            holder = self._read(key)
            if holder is None:
                continue
            if not self._stale(holder):
                return holder
            self._workspace.delete(self._path(key))
            cleared.append(holder)
        return None

    def _stale(self, holder: Holder) -> bool:
        here = holder.machine == machine()
        return (here and not self._alive(holder)) or self._clock.now() > holder.expires

    def _read(self, key: str) -> Holder | None:
        content = self._workspace.read(self._path(key))
        if content is None:
            return None
        try:
            return Holder(**json.loads(content))
        except (ValueError, TypeError):
            raise WorkspaceError(
                f"the lock {self._path(key)} cannot be read; rerun the command with"
                " `--break-lock` if no deploy runs"
            ) from None

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key}.json"


def lives(holder: Holder) -> bool:
    """Return whether a holder's process still runs on this machine.

    A new process with a reused process id does not count.
    """
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process belongs to another user, but exists
    return not holder.born or born(holder.process) == holder.born


def born(process: int) -> str:
    """Return the start time of a process in clock ticks since boot, or an empty text.

    The text is empty on a system without /proc.
    """
    with suppress(OSError, IndexError):
        # The command's name is in parentheses and may contain any character. The start
        # time is the 20th field after the last parenthesis.
        return (
            Path(f"/proc/{process}/stat")
            .read_text(errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    return ""


def machine() -> str:
    """Return an id of this machine, its boot and its process namespace.

    Each container has a different id.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # passwd has no entry for this user id
        return str(os.getuid())
