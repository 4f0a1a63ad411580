"""Interleaves processes: while one process runs a round, all other processes wait.

Each process connects to a socket and sends its name in one line. A process sends `.` to
request a turn, and starts the round when it gets the answer `!`. The process's turn
ends when the process sends the next `.`. During a turn, no other process runs.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

# After this many seconds without input from a process, check whether the process is
# still running.
ALIVE_SECONDS = 0.1


def order(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield the order of the turns: `old new new old old new ...`.

    In this order, `old` runs before `new` as often as `new` runs before `old`.
    """
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)


class TurnServer:
    """A context manager that listens on a socket, and grants turns to processes.

    Attributes:
        address: the path of the socket. The socket is outside the repository, so the
            socket's path is short even if the repository's path is long.
    """

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self.address = ""

    def __enter__(self) -> TurnServer:
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
        """Grant each process a turn in each round, and then let all processes end.

        A process that ends or never connects loses its turns.

        Args:
            alive: a function that gets the name of a process, and returns whether this
                process is running.
        """
        players = self._players(names, alive)
        with contextlib.ExitStack() as held:
            for player in players.values():
                held.enter_context(player.connection)
            # Wait until all processes are ready, so that the setup of one process does
            # not slow the first turn of another process.
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
    ) -> dict[str, _Client]:
        players: dict[str, _Client] = {}

        def awaited() -> bool:
            return any(name not in players and alive(name) for name in names)

        while awaited():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                player = _Client(connection)
                name = player.name(awaited)
                if name in names:
                    players[name] = player
        return players


class _Client:
    """The connection to one process."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(ALIVE_SECONDS)

    def name(self, awaited: Callable[[], bool]) -> str:
        """Read the process's name; stop early if no process is awaited any more."""
        line = b""
        while not line.endswith(b"\n") and awaited():
            with contextlib.suppress(TimeoutError):
                byte = self.connection.recv(1)
                if not byte:
                    break
                line += byte
        return line.decode("utf-8", errors="replace").strip()

    def asks(self, alive: Callable[[], bool]) -> bool:
        """Wait until the process requests a turn; return False if the process ended."""
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
        """Grant a turn to the process, and wait until the turn is over.

        Returns False if the process ended.
        """
        return self.go() and self.asks(alive)

    def go(self) -> bool:
        try:
            self.connection.sendall(b"!")
        except OSError:
            return False
        return True
