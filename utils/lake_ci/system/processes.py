"""Runs each tool below a watcher, a process that ends all descendants of the tool.

The watcher, `watcher.py`, is the child of the suite and the parent of the tool. The
watcher ends the tool and all its descendants when the suite stops the tool or is
killed. When the tool ends, the watcher ends the remaining descendants.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import LakeCiError
from lake_ci.system.pipes import Reader
from lake_ci.system.redaction import Redactor

# The default number of seconds between SIGTERM and SIGKILL. Because nox kills a worker
# 2 s after SIGTERM, the tools must end and the result must be written within 2 s.
GRACE_SECONDS = 0.8
WATCHER = Path(__file__).with_name("watcher.py")
# The seconds between two checks whether a silent server is still alive.
ALIVE_SECONDS = 0.1


@dataclass(frozen=True)
class Completed:
    """A child that has ended; `stopped` is None, `timeout` or `interrupted`."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    stopped: str | None = None

    def last_lines(self, number: int = 12) -> str:
        """Return the last lines of standard error, or else of standard output."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-number:])


class _Child:
    """A tool that was started below a watcher."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | None,
        *,
        attached: bool,
        grace: float,
    ) -> None:
        pipe = None if attached else subprocess.PIPE
        self._program = argv[0]
        self._lifeline, watched = socket.socketpair()
        arguments = [
            str(watched.fileno()),
            str(grace),
            "0" if attached else "1",
            env.get("LC_ALL", ""),
        ]
        with watched, contextlib.ExitStack() as unused:
            unused.enter_context(self._lifeline)
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHER), *arguments, *argv],
                cwd=cwd,
                # The end of watcher.py explains LC_ALL.
                env={**env, "LC_ALL": "C"},
                stdin=stdin,
                stdout=pipe,
                stderr=pipe,
                start_new_session=not attached,
                pass_fds=[watched.fileno()],
            )
            unused.pop_all()

    def stop(self) -> None:
        """Ask the watcher to end the tool and all its descendants."""
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """End the tool and all its descendants, and wait until they have ended."""
        self.stop()
        self.process.wait()

    def code(self) -> int:
        """Return the exit code of the tool, after the watcher has ended.

        Raises:
            OSError: the tool could not be started.
        """
        with self._lifeline:
            word, _, number = self._lifeline.recv(64).decode().partition(" ")
        if word == "error":
            error = int(number.split()[0])
            raise OSError(error, os.strerror(error), self._program)
        return int(number) if word else self.process.returncode


class Processes:
    """Starts tools, and can end all tools that are running.

    Each tool has its own process session, and so its own process group. A signal to the
    suite's process group reaches only the suite, and then the suite ends the tools.

    Args:
        clock: a function that returns the time in seconds, for deadlines.
        redact: redacts the output of all children. In addition, the secrets in a
            child's environment variables are always redacted.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        redact: Redactor | None = None,
    ) -> None:
        self._clock = clock
        self._redact = redact or Redactor()
        self._lock = threading.Lock()
        self._running: set[_Child] = set()
        self._stopped: str | None = None

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        deadline: float | None = None,
        echo: Callable[[str], None] | None = None,
        attached: bool = False,
        grace: float = GRACE_SECONDS,
    ) -> Completed:
        """Run a command to its end and return its redacted output.

        Args:
            argv: the command.
            cwd: the working directory of the command.
            env: all environment variables of the command.
            deadline: the time of `clock` at which the command is ended; the result is
                then `stopped="timeout"`.
            echo: called with each line when it arrives.
            attached: whether the command gets the terminal and stays in the group of
                this process. The output of an attached command is not captured.
            grace: the seconds between SIGTERM and SIGKILL when the command is stopped.

        Raises:
            OSError: the command could not be started.
        """
        start = time.monotonic()
        stdin = None if attached else subprocess.DEVNULL
        child = self._start(argv, cwd, env, stdin, attached=attached, grace=grace)
        if child is None:
            return Completed(tuple(argv), -signal.SIGTERM, "", "", 0.0, self._stopped)
        redact = self._redact.including_env(env)
        streams = (child.process.stdout, child.process.stderr)
        readers = [Reader(stream, echo, redact) for stream in streams if stream]
        timed_out = self._wait(child, deadline)
        texts = [reader.text() for reader in readers] or ["", ""]
        seconds = time.monotonic() - start
        return Completed(
            tuple(argv),
            child.code(),
            texts[0],
            texts[1],
            seconds,
            "timeout" if timed_out else self._stopped,
        )

    @contextlib.contextmanager
    def serving(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        deadline: float | None = None,
    ) -> Iterator[str]:
        """Run a server during a `with` block, and yield the server's first line.

        The server must print its first line when it is ready. The server's standard
        input is a pipe from this process. The server should exit when this pipe closes.
        The pipe closes even if this process is killed with SIGKILL.

        Raises:
            LakeCiError: the server ended, or the deadline passed, before the first
                line; the message contains the last lines of its output.
            OSError: the server could not be started.
        """
        child = self._start(argv, cwd, env, subprocess.PIPE)
        if child is None:
            raise LakeCiError(f"{argv[0]} was not started: {self._stopped}")
        process = child.process
        # For mypy: all three pipes exist, because PIPE was requested.
        assert process.stdin and process.stdout and process.stderr
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        redact = self._redact.including_env(env)
        # The first line is not redacted: it may contain a secret that the `with` block
        # needs.
        readers = [
            Reader(process.stdout, lines.put, Redactor()),
            Reader(process.stderr, None, redact),
        ]
        try:
            first = self._first(lines, process, deadline)
            if first is not None:
                yield first
        finally:
            self._end(child)
            with contextlib.suppress(OSError):
                process.stdin.close()
            code = child.code()
        if first is None:
            out, errors = (redact(reader.text()) for reader in readers)
            done = Completed(tuple(argv), code, out, errors, 0.0)
            raise LakeCiError(
                f"{' '.join(argv[:2])} did not start\n{done.last_lines()}".strip()
            )

    def stop_all(self, why: str = "interrupted") -> None:
        """End all tools and their descendants, and start no more tools."""
        with self._lock:
            self._stopped = why
            running = list(self._running)
        for child in running:
            child.stop()
        for child in running:
            child.end()

    def _start(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | None,
        *,
        attached: bool = False,
        grace: float = GRACE_SECONDS,
    ) -> _Child | None:
        """Start a tool, and capture its output unless the tool is attached.

        Returns None if `stop_all` was already called.
        """
        with self._lock:
            if self._stopped is not None:
                return None
            child = _Child(argv, cwd, env, stdin, attached=attached, grace=grace)
            self._running.add(child)
        return child

    def _wait(self, child: _Child, deadline: float | None) -> bool:
        """Wait for a tool and all its descendants.

        Returns whether the deadline passed before the tool ended.
        """
        try:
            child.process.wait(
                None if deadline is None else max(0.0, deadline - self._clock())
            )
        except subprocess.TimeoutExpired:
            return True
        finally:
            self._end(child)
        return False

    def _end(self, child: _Child) -> None:
        child.end()
        with self._lock:
            self._running.discard(child)

    def _first(
        self,
        lines: queue.SimpleQueue[str],
        process: subprocess.Popen[bytes],
        deadline: float | None,
    ) -> str | None:
        """Return a server's first line; None if no line arrives before the deadline."""
        while deadline is None or self._clock() < deadline:
            ended = process.poll() is not None
            with contextlib.suppress(queue.Empty):
                return lines.get(timeout=ALIVE_SECONDS)
            if ended:
                break
        return None


def processor_seconds() -> float:
    """Return the user and system times of this process and its ended descendants."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
