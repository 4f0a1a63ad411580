"""Runs child processes, each in its own process session, and ends all descendants."""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import LakeCiError
from lake_ci.system.pipes import Reader
from lake_ci.system.redaction import Redactor

# nox kills a worker 2 s after SIGTERM. Within this time the tools must end, and the
# result must be written.
GRACE_SECONDS = 0.8
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


class Processes:
    """Starts child processes, and can end all children that are running.

    Each child has its own session, and so its own process group. A signal to that group
    reaches the child's descendants. A signal to the suite's group reaches only the
    suite, which handles it.

    Attributes:
        orphan_seconds: the processor time of descendants that outlived their child.
            `processor_seconds` does not include this time, because no process waits for
            these descendants.

    Args:
        clock: returns the time in seconds, for deadlines.
        redact: redacts the output of all children. In addition, the secrets in a
            child's own environment are always redacted.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        redact: Redactor | None = None,
    ) -> None:
        self._clock = clock
        self._redact = redact or Redactor()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped: str | None = None
        self.orphan_seconds = 0.0

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
            deadline: the time of the clock when the command is ended, with
                `stopped="timeout"`.
            echo: called with each line when it arrives.
            attached: whether the command gets the terminal and stays in the group of
                this process. Its output is then not captured.
            grace: the seconds between SIGTERM and SIGKILL when the command is stopped.

        Raises:
            OSError: the command could not be started.
        """
        start = time.monotonic()
        stdin = None if attached else subprocess.DEVNULL
        process = self._start(argv, cwd, env, stdin, attached=attached)
        if process is None:
            return Completed(tuple(argv), -signal.SIGTERM, "", "", 0.0, self._stopped)
        redact = self._redact.including_env(env)
        pipes = [stream for stream in (process.stdout, process.stderr) if stream]
        readers = [Reader(stream, echo, redact) for stream in pipes]
        timed_out = self._wait(process, deadline, grace)
        texts = [reader.text() for reader in readers] or ["", ""]
        seconds = time.monotonic() - start
        return Completed(
            tuple(argv),
            process.returncode,
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

        A server prints its first line when it is ready. Its standard input is a pipe
        from this process. The server should exit when this pipe closes, which happens
        even after a kill -9 of this process.

        Raises:
            LakeCiError: the server ended, or the deadline passed, before the first
                line; the message contains the last lines of its output.
            OSError: the server could not be started.
        """
        process = self._start(argv, cwd, env, subprocess.PIPE)
        if process is None:
            raise LakeCiError(f"{argv[0]} was not started: {self._stopped}")
        # For mypy: all three pipes exist, because PIPE was requested.
        assert process.stdin and process.stdout and process.stderr
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        redact = self._redact.including_env(env)
        # The first line is not redacted: it may contain a secret that the block needs.
        readers = [
            Reader(process.stdout, lines.put, Redactor()),
            Reader(process.stderr, None, redact),
        ]
        try:
            first = self._first(lines, process, deadline)
            if first is None:
                self._end(process)
                out, errors = (redact(reader.text()) for reader in readers)
                done = Completed(tuple(argv), process.returncode, out, errors, 0.0)
                raise LakeCiError(
                    f"{' '.join(argv[:2])} did not start\n{done.last_lines()}".strip()
                )
            yield first
        finally:
            self._end(process)
            with contextlib.suppress(OSError):
                process.stdin.close()

    def stop_all(self, why: str = "interrupted") -> None:
        """End all children and their descendants, and start no more children."""
        with self._lock:
            self._stopped = why
            running = list(self._running)
        seconds = end(running)
        with self._lock:
            self.orphan_seconds += seconds

    def _start(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | None,
        *,
        attached: bool = False,
    ) -> subprocess.Popen[bytes] | None:
        """Start a child, and capture its output unless the child is attached.

        Returns None after `stop_all`.
        """
        pipe = None if attached else subprocess.PIPE
        with self._lock:
            if self._stopped is not None:
                return None
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=stdin,
                stdout=pipe,
                stderr=pipe,
                start_new_session=not attached,
            )
            self._running.add(process)
        return process

    def _wait(
        self, process: subprocess.Popen[bytes], deadline: float | None, grace: float
    ) -> bool:
        """Wait for a child and end its descendants.

        Returns whether the deadline passed before the child ended.
        """
        try:
            process.wait(
                None if deadline is None else max(0.0, deadline - self._clock())
            )
        except subprocess.TimeoutExpired:
            return True
        finally:
            # Do this even after a success: a running grandchild would keep the pipes
            # open, and outlive the job.
            self._end(process, grace)
        return False

    def _end(
        self, process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS
    ) -> None:
        seconds = end([process], grace)
        with self._lock:
            self._running.discard(process)
            self.orphan_seconds += seconds

    def _first(
        self,
        lines: queue.SimpleQueue[str],
        process: subprocess.Popen[bytes],
        deadline: float | None,
    ) -> str | None:
        """Return a server's first line; None if it ends or the deadline passes."""
        while deadline is None or self._clock() < deadline:
            ended = process.poll() is not None
            with contextlib.suppress(queue.Empty):
                return lines.get(timeout=ALIVE_SECONDS)
            if ended:
                break
        return None


def processor_seconds() -> float:
    """Return user and system time of this process and of its ended descendants."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def end(
    processes: Iterable[subprocess.Popen[bytes]], grace: float = GRACE_SECONDS
) -> float:
    """End these children and all processes that they started.

    All processes get SIGTERM. The remaining processes get SIGKILL when the child itself
    has ended, at most `grace` seconds later.

    Returns the processor seconds of descendants that outlived their child.
    """
    ending = list(processes)
    orphans: dict[int, float] = {}
    for process in ending:
        ended = process.poll() is not None
        members = _signal(process, signal.SIGTERM)
        # A child that is still running can wait for its own children.
        orphans.update(members if ended else {})
    deadline = time.monotonic() + grace
    for process in ending:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in ending:
        members = _signal(process, signal.SIGKILL)
        members.pop(process.pid, None)
        orphans.update(members)
        process.wait()
    return sum(orphans.values())


def _signal(
    process: subprocess.Popen[bytes], number: signal.Signals
) -> dict[int, float]:
    """Signal a child and its descendants; return processor seconds by process id."""
    members = _members(process.pid)
    if process.poll() is None:
        members.setdefault(process.pid, 0.0)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return members


def _members(session: int) -> dict[int, float]:
    """Return the processor seconds of each living process of a session, by its id.

    The result includes processes that left the group, as PySpark's processes do. On
    macOS the seconds are 0.
    """
    if Path("/proc/self/stat").exists():
        return _members_in_proc(session)
    # macOS does not show session ids, so a process that left the group is not found
    # there.
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid=,stat="],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    living = (row for row in rows if len(row) == 3 and row[2][0] != "Z")
    return {int(pid): 0.0 for pid, group, _ in living if group == str(session)}


def _members_in_proc(session: int) -> dict[int, float]:
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(
                f"/proc/{entry}/stat", encoding="utf-8", errors="replace"
            ) as file:
                # The command is in parentheses and may contain any character; see
                # proc(5).
                fields = file.read().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                # utime, stime, and those of its children: cutime, cstime.
                ticks = sum(map(int, fields[11:15]))
                found[int(entry)] = ticks / os.sysconf("SC_CLK_TCK")
    return found
