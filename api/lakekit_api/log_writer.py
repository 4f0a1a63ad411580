"""Writes lines to a pipe or a file in a separate thread. Because the thread is
separate, the service continues even if the reader (the process at the other end of the
pipe) stops reading.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Callable, Deque

MAX_BYTES = 4 << 20
"""The maximum number of bytes that wait for the reader. Lines beyond this limit are
dropped and counted.
"""
PAUSE = 0.01
"""Seconds between two writes. A write contains all lines added since the previous
write.
"""


class LogWriter:
    """A queue of lines to write to a file descriptor.

    The queue contains at most `max_bytes` bytes. `notice` returns a line that reports
    the number of dropped lines. This line is written as soon as the reader reads again.
    """

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], bytes],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._descriptor, self._notice, self._max_bytes = descriptor, notice, max_bytes
        self._lines: Deque[bytes] = deque()
        self._bytes = 0  # the size of all lines that are waiting or being written
        self._unreported = 0
        self._changed = threading.Condition()
        self.dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Add a line, which must end with a line break. Returns before the line is
        written.
        """
        with self._changed:
            if self._bytes + len(line) > self._max_bytes:
                self._drop(1)
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written. Returns False if the lines are not written
        within `seconds`.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                lines = list(self._lines)
                self._lines.clear()
            written = self._write(b"".join(lines))
            with self._changed:
                self._bytes -= sum(map(len, lines))
                if not written:
                    self._drop(len(lines))
                elif self._unreported:
                    report = self._notice(self._unreported)
                    self._unreported = 0
                    self._lines.appendleft(report)
                    self._bytes += len(report)
                self._changed.notify_all()
            time.sleep(PAUSE)

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines

    def _write(self, data: bytes) -> bool:
        """Write data. Returns False if the write fails, because the pipe is closed or
        the disk is full.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process made the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True
