"""Child processes: each in its own session, ended as a whole, never left behind."""

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

# nox kills a worker 2 s after it asked it to end: the tools must be gone, and the
# result written, before that.
GRACE_SECONDS = 0.8
# How often a server that has not said anything yet is asked whether it is still there.
ALIVE_SECONDS = 0.1


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

    Each one leads a session (and so a process group) of its own: a signal to it reaches
    its grandchildren, and one meant for the suite does not reach it behind the suite's
    back.

    Attributes:
        orphan_seconds: processor time of descendants that outlived their child. Nothing
            waits for those, so that `processor_seconds` does not include them.

    Args:
        clock: the seconds that a deadline is compared with.
        redact: for the output of all children. The secrets of a child's own environment
            are redacted in any case.
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
        """Run a command to its end and return what it printed, redacted.

        Args:
            argv: the command.
            cwd: where it runs.
            env: its whole environment.
            deadline: the clock's time at which it is ended, `stopped="timeout"`.
            echo: called with each line as it comes.
            attached: give it the terminal, and leave it in this process's group;
                nothing is captured then.
            grace: the seconds between SIGTERM and SIGKILL when it is stopped.

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
        """Run a server for as long as the body runs, and hand the body the server's
        first line: it is ready then.

        Its standard input is a pipe from this process, whose end tells it even of a
        kill -9 that it is not needed any more.

        Raises:
            LakeCiError: it ended, or the deadline came, before it said anything; with
                its last lines.
            OSError: it could not be started.
        """
        process = self._start(argv, cwd, env, subprocess.PIPE)
        if process is None:
            raise LakeCiError(f"{argv[0]} was not started: {self._stopped}")
        # What PIPE asked for.
        assert process.stdin and process.stdout and process.stderr
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        redact = self._redact.including_env(env)
        # The first line may hold a secret that the server has made for the body.
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
        """End every running child and its descendants; start no further one."""
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
        """Start a child whose output is piped, unless it is attached; None once all are
        stopped.
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
        """Wait for a child, then end it; whether the deadline came first."""
        try:
            process.wait(
                None if deadline is None else max(0.0, deadline - self._clock())
            )
        except subprocess.TimeoutExpired:
            return True
        finally:
            # Also after a good end: a grandchild left running would hold the pipes, and
            # outlive the job.
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
        """Wait for a server's first line; None if it ends, or the deadline passes."""
        while deadline is None or self._clock() < deadline:
            ended = process.poll() is not None
            with contextlib.suppress(queue.Empty):
                return lines.get(timeout=ALIVE_SECONDS)
            if ended:
                break
        return None


def processor_seconds() -> float:
    """Return user and system time of this process and of the descendants waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def end(
    processes: Iterable[subprocess.Popen[bytes]], grace: float = GRACE_SECONDS
) -> float:
    """End these children and all that they started.

    SIGTERM to all; SIGKILL to what is left once the child itself has ended, `grace`
    seconds later at most.

    Returns the processor seconds of descendants that outlived their child.
    """
    ending = list(processes)
    orphans: dict[int, float] = {}
    for process in ending:
        ended = process.poll() is not None
        members = _signal(process, signal.SIGTERM)
        # A child that still runs can wait for its own children.
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
    """The living processes of a session, also those that left its group (PySpark's do).

    Returns the processor seconds of each by its id; 0 on macOS.
    """
    if Path("/proc/self/stat").exists():
        return _members_in_proc(session)
    # macOS shows no session ids; there a process that left the group is out of reach.
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
                # The command is in parentheses and may hold anything; see proc(5).
                fields = file.read().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                # utime, stime, and those of its children: cutime, cstime.
                ticks = sum(map(int, fields[11:15]))
                found[int(entry)] = ticks / os.sysconf("SC_CLK_TCK")
    return found
