"""Reads the output of a child process line by line, until the child has ended."""

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
    """Reads the pipe of a child until the child has ended.

    A daemon that the child started may keep the pipe open forever. So this class does
    not wait until the pipe is closed. After the child has ended, this class reads only
    the bytes that are already in the pipe.
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
        """Read available bytes into a buffer, and return their number."""
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
        """Stop reading after the bytes that the pipe contains now."""
        self._end.close()

    def close(self) -> None:
        for each in (self._selector, self._ended, self._end, self._stream):
            each.close()
        super().close()


def _bytes_in(stream: IO[bytes]) -> int:
    """Return the number of bytes that can be read from a pipe now."""
    number = array("i", [0])
    fcntl.ioctl(stream, termios.FIONREAD, number)
    return number[0]


class Reader(threading.Thread):
    """Reads one pipe to its end, line by line, and redacts each line.

    A child may write a line in several parts and so split a secret. Therefore each line
    is redacted as a whole.
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
        """Return all output of the child; call this only after the child has ended."""
        self._pipe.child_ended()
        self.join()
        return "".join(self._lines)
