"""Child processes: each in a session of its own, ended as a whole, never left behind."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lake_ci.errors import LakeCiError
from lake_ci.redaction import Redactor

# nox kills a worker 2 s after it asked it to end: the tools must be gone, and the result written, before that.
GRACE_SECONDS = 0.8
# How often a server that has not said anything yet is asked whether it is still there.
ALIVE_SECONDS = 0.1
# How long the rest of the output is waited for once the child has ended: a daemon may hold the pipe for good.
DRAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Completed:
    """A child that has ended. `stopped` is None, `timeout` or `interrupted`."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    stopped: str | None = None

    def last_lines(self, number: int = 12) -> str:
        """The end of what the child printed: its errors, else its output."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-number:])


class Processes:
    """The children that run right now.

    Each one leads a session (and so a process group) of its own: a signal to it reaches its
    grandchildren, and one meant for the suite does not reach it behind the suite's back.

    Args:
        redact: for the output of all children. The secrets of a child's own environment
            are redacted in any case.
    """

    def __init__(self, redact: Redactor | None = None) -> None:
        self._redact = redact or Redactor()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
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
        """Run a command to its end and return what it printed, redacted.

        Args:
            argv: the command.
            cwd: where it runs.
            env: its whole environment.
            deadline: the `time.monotonic()` at which it is ended, `stopped="timeout"`.
            echo: called with each line as it comes.
            attached: give it the terminal, and leave it in this process's group; nothing is captured then.
            grace: the seconds it has to end by itself when it is stopped.

        Raises:
            OSError: the command could not be started.
        """
        start = time.monotonic()
        pipe = None if attached else subprocess.PIPE
        with self._lock:
            if self._stopped is not None:
                return Completed(tuple(argv), -signal.SIGTERM, "", "", 0.0, self._stopped)
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=None if attached else subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                start_new_session=not attached,
            )
            self._running.add(process)
        redact = self._redact.including_env(env)
        pipes = [stream for stream in (process.stdout, process.stderr) if stream]
        readers = [_Reader(stream, echo, redact) for stream in pipes]
        stopped = None
        try:
            process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            stopped = "timeout"
        finally:
            # Also after a good end: a grandchild left running would hold the pipes, and outlive the job.
            end([process], grace)
            with self._lock:
                self._running.discard(process)
        texts = [reader.text() for reader in readers] or ["", ""]
        seconds = time.monotonic() - start
        return Completed(
            tuple(argv), process.returncode, texts[0], texts[1], seconds, stopped or self._stopped
        )

    @contextlib.contextmanager
    def serving(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline: float | None = None
    ) -> Iterator[str]:
        """Run a server for as long as the body runs, and hand the body the server's first line: it is ready then.

        Its standard input is a pipe from this process, whose end tells it even of a kill -9 that it is not needed
        any more.

        Raises:
            LakeCiError: it ended, or the deadline came, before it said anything; with its last lines.
            OSError: it could not be started.
        """
        with self._lock:
            if self._stopped is not None:
                raise LakeCiError(f"{argv[0]} was not started: {self._stopped}")
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
        assert process.stdin and process.stdout and process.stderr  # what PIPE asked for
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        redact = self._redact.including_env(env)
        # The first line may hold a secret that the server has made for the body.
        readers = [
            _Reader(process.stdout, lines.put, Redactor()),
            _Reader(process.stderr, None, redact),
        ]
        try:
            first = _first(lines, process, deadline)
            if first is None:
                end([process])
                out, errors = (redact(reader.text()) for reader in readers)
                done = Completed(tuple(argv), process.returncode, out, errors, 0.0)
                raise LakeCiError(f"{' '.join(argv[:2])} did not start\n{done.last_lines()}".strip())
            yield first
        finally:
            end([process])
            with contextlib.suppress(OSError):
                process.stdin.close()
            with self._lock:
                self._running.discard(process)

    def stop_all(self, why: str = "interrupted") -> None:
        """End every running child and its descendants; start no further one."""
        with self._lock:
            self._stopped = why
            running = list(self._running)
        end(running)


def _first(
    lines: queue.SimpleQueue[str], process: subprocess.Popen[bytes], deadline: float | None
) -> str | None:
    """The first line of a server; None where it ended, or the deadline came, before there was one."""
    while deadline is None or time.monotonic() < deadline:
        ended = process.poll() is not None
        with contextlib.suppress(queue.Empty):
            return lines.get(timeout=ALIVE_SECONDS)
        if ended:
            break
    return None


class _Reader(threading.Thread):
    """Reads one pipe to its end, line by line, and redacts each line.

    A child may write a line in parts: a secret is only recognized in a whole one.
    """

    def __init__(
        self,
        stream: IO[bytes],
        echo: Callable[[str], None] | None,
        redact: Redactor,
    ) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._echo = echo
        self._redact = redact
        self._lines: list[str] = []
        self.start()

    def run(self) -> None:
        with self._stream:
            for raw in self._stream:
                line = self._redact(raw.decode("utf-8", errors="replace"))
                self._lines.append(line)
                if self._echo is not None:
                    self._echo(line)

    def text(self) -> str:
        self.join(DRAIN_SECONDS)
        return "".join(self._lines)


def end(processes: Iterable[subprocess.Popen[bytes]], grace: float = GRACE_SECONDS) -> None:
    """End these children and all that they started.

    SIGTERM to all; SIGKILL to what is left once the child itself has ended, `grace` seconds later at most.
    """
    ending = list(processes)
    for process in ending:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    for process in ending:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in ending:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    members = _members(process.pid)
    if process.poll() is None and process.pid not in members:
        members.append(process.pid)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _members(session: int) -> list[int]:
    """The living processes of a session, whatever group they moved to (PySpark's workers do)."""
    if Path("/proc/self/stat").exists():
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    # The command's name stands in parentheses and may hold anything; state, ppid, pgrp, session follow.
                    state, _, _, sid = file.read().rpartition(")")[2].split()[:4]
                if int(sid) == session and state not in "ZX":
                    found.append(int(entry))
        return found
    # macOS shows no session ids; there a process that left the group is out of reach.
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return [int(row[0]) for row in rows if len(row) == 3 and row[1] == str(session) and row[2][0] != "Z"]
