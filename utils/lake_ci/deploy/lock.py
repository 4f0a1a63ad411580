"""One deploy at a time: a lock on the volume that names its holder, ends with it, and
is never taken from the living.

Each holder writes a file of its own name and then looks who else has one: of two that
come at once at least one sees the other. A stale lock is deleted by its name, so that
nobody can delete the lock of one who came in between.
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

# A clock that goes wrong by less than this takes nobody's lock away.
SKEW_SECONDS = 300.0
TRIES = 3


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        id: of the deploy.
        who: for people: user and machine.
        what: for people: what it does.
        machine: the machine, its boot and its space of process ids.
        process: the process id there, and `born`, when it was started, for ids come
            again. since, expires: seconds since 1970.
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
    """Somebody broke the lock: what is done from here on could cross another deploy."""


def this_process(what: str, seconds: float, clock: Clock, who: str = "") -> Holder:
    """This process as a holder, for at most so many seconds."""
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
        folder: the folder on the volume that the locks lie in.
        alive: whether a process of this machine lives.
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
        """Take the lock. Returns the stale holders that were cleared away. Raises
        RefusedError naming a live one.
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
            # Two came at once, and both may have seen the other: both step back, and
            # not for equally long.
            self._workspace.delete(self._path(me.id))
            self._clock.sleep(random.uniform(0.1, 1.0))
            held = self._living(cleared)
        raise RefusedError(
            f"another deploy holds the lock: {held}",
            "wait for it; if it is not there any more,"
            " type the same with `--break-lock`",
        )

    def check(self, me: Holder) -> None:
        """Raise LostLockError where the lock is not held any more."""
        if self._read(me.id) != me:
            raise LostLockError(
                "the lock was broken by somebody,"
                " so this deploy stops here and undoes nothing"
            )

    def give_back(self, me: Holder) -> None:
        """Let the next one in."""
        self._workspace.delete(self._path(me.id))

    def break_all(self) -> list[str]:
        """Delete every lock, whoever holds it; who held them."""
        told = []
        for name in self._workspace.names(self._folder):
            holder = self._read(name.removesuffix(".json"))
            told.append(str(holder) if holder else f"somebody ({name})")
            self._workspace.delete(f"{self._folder}/{name}")
        return told

    def holders(self) -> Iterator[tuple[Holder, bool]]:
        """Everyone who has a lock here, and whether it is stale."""
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
                f"the lock {self._path(key)} cannot be read; type the same with"
                " `--break-lock` if no deploy runs"
            ) from None

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key}.json"


def lives(holder: Holder) -> bool:
    """Whether a holder of this machine still runs: its process is there, and is the
    same.
    """
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process, but one
    return not holder.born or born(holder.process) == holder.born


def born(process: int) -> str:
    """When a process was started, in the kernel's own count; empty where the system
    does not tell.
    """
    with suppress(OSError, IndexError):
        # The command's name stands in parentheses and may hold anything; the 20th field
        # after it is the start.
        return (
            Path(f"/proc/{process}/stat")
            .read_text(errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    return ""


def machine() -> str:
    """What tells this machine's processes from those of any other, a container's
    included.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id that no passwd entry names
        return str(os.getuid())
