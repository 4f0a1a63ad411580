"""Reads what a child process writes, line by line, until the child has ended."""

from __future__ import annotations

import fcntl
import io
import os
import selectors
import socket
import termios
import threading
from array import array
from collections.abc import Callable
from typing import IO, Any


class _Pipe(io.RawIOBase):
    """The reading end of a child's pipe; it ends when the child has ended.

    A daemon that the child started may hold the pipe open forever. All output of the
    child itself is in the pipe when the child ends. That much is read, however long it
    takes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ended, self._end = socket.socketpair()
        self._left: int | None = None
        self._selector = selectors.DefaultSelector()
        for each in (stream, self._ended):
            self._selector.register(each, selectors.EVENT_READ)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the available bytes into a buffer, and return how many there were."""
        if self._left is None:
            ready = [key.fileobj for key, _ in self._selector.select()]
            if self._ended in ready:
                self._left = _bytes_in(self._stream)
        room = memoryview(buffer)[: self._left]
        number = os.readv(self._stream.fileno(), [room]) if room else 0
        if self._left is not None:
            self._left -= number
        return number

    def child_ended(self) -> None:
        """Read the bytes that are in the pipe now, and then stop."""
        self._end.close()

    def close(self) -> None:
        for each in (self._selector, self._ended, self._end, self._stream):
            each.close()
        super().close()


def _bytes_in(stream: IO[bytes]) -> int:
    """Return the number of bytes in a pipe."""
    number = array("i", [0])
    fcntl.ioctl(stream, termios.FIONREAD, number)
    return number[0]


class Reader(threading.Thread):
    """Reads one pipe to its end, line by line, and redacts each line.

    A child may write a line in parts, and a secret is only recognized in a whole line.
    """

    def __init__(
        self,
        stream: IO[bytes],
        echo: Callable[[str], None] | None,
        redact: Callable[[str], str] = str,
    ) -> None:
        super().__init__(daemon=True)
        self._redact = redact
        self._pipe = _Pipe(stream)
        self._echo = echo
        self._lines: list[str] = []
        self.start()

    def run(self) -> None:
        with io.BufferedReader(self._pipe) as lines:
            for raw in lines:
                line = self._redact(raw.decode("utf-8", errors="replace"))
                self._lines.append(line)
                if self._echo is not None:
                    self._echo(line)

    def text(self) -> str:
        """Return all output of the child, which must have ended."""
        self._pipe.child_ended()
        self.join()
        return "".join(self._lines)
