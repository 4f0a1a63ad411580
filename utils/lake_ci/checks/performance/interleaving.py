"""Lets processes take turns: one works, the others wait, in an order that is fair to
all.

Each process connects to a socket, says its name in one line, and asks for a turn with a
`.`, at the end of the turn before, too. It is answered `!`. What a process does between
its answer and its next `.` is its turn, and nothing else is done anywhere meanwhile.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

# How often a process that has not said anything yet is asked whether it is still there.
ALIVE_SECONDS = 0.1


def order(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Whose turn it is: `old new new old old new ...`, so that neither is always the
    one that comes later.
    """
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)


class Turns:
    """The side that grants turns; a context that listens on a socket of its own.

    Attributes:
        address: the socket's path, short whatever the path of the repository.
    """

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self.address = ""

    def __enter__(self) -> Turns:
        folder = self._held.enter_context(tempfile.TemporaryDirectory(prefix="turns-"))
        self.address = str(Path(folder) / "socket")
        self._listener = self._held.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(self.address)
        self._listener.listen()
        self._listener.settimeout(ALIVE_SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def grant(
        self, names: Sequence[str], rounds: int, alive: Callable[[str], bool]
    ) -> None:
        """Let each of the processes have so many turns, then let all end.

        A process that ends, or never comes, loses its turns; the others keep theirs.

        Args:
            alive: whether the process of that name still runs.
        """
        players = self._players(names, alive)
        with contextlib.ExitStack() as held:
            for player in players.values():
                held.enter_context(player.connection)
            # Nobody starts before all are ready: what one prepares must not disturb
            # another's first turn.
            for name in [name for name in names if name in players]:
                if not players[name].asks(partial(alive, name)):
                    del players[name]
            for name in order(names, rounds):
                if name in players and not players[name].take_turn(
                    partial(alive, name)
                ):
                    del players[name]
            for player in players.values():
                player.go()

    def _players(
        self, names: Sequence[str], alive: Callable[[str], bool]
    ) -> dict[str, _Player]:
        players: dict[str, _Player] = {}

        def awaited() -> bool:
            return any(name not in players and alive(name) for name in names)

        while awaited():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                player = _Player(connection)
                name = player.name(awaited)
                if name in names:
                    players[name] = player
        return players


class _Player:
    """One process, seen from here."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(ALIVE_SECONDS)

    def name(self, awaited: Callable[[], bool]) -> str:
        """Read its name; the part read so far if no process is awaited any more."""
        said = b""
        while not said.endswith(b"\n") and awaited():
            with contextlib.suppress(TimeoutError):
                byte = self.connection.recv(1)
                if not byte:
                    break
                said += byte
        return said.decode("utf-8", errors="replace").strip()

    def asks(self, alive: Callable[[], bool]) -> bool:
        """Wait until it asks for its next turn; false where it ended instead."""
        while True:
            running = alive()
            try:
                return self.connection.recv(1) == b"."
            except TimeoutError:
                if not running:
                    return False
            except OSError:
                return False

    def take_turn(self, alive: Callable[[], bool]) -> bool:
        """Grant a turn and wait until it is over; false where the process ended."""
        return self.go() and self.asks(alive)

    def go(self) -> bool:
        try:
            self.connection.sendall(b"!")
        except OSError:
            return False
        return True
