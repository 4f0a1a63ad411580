"""Starts one tool, and ends all its descendants when the tool or the suite has ended.

This program runs as `python -I -S watcher.py LIFELINE GRACE SESSION LOCALE TOOL...`:

- LIFELINE is the descriptor of a socket to the suite. It closes when the suite closes
  it, and also when the suite is killed. The tool's exit code is written to it.
- GRACE is the number of seconds between SIGTERM and SIGKILL.
- SESSION is 1 if the tool gets its own process session.
- LOCALE is the tool's variable LC_ALL.

On Linux the watcher is a subreaper: the kernel makes it the parent of each descendant
that lost its own parent. So it finds all descendants, whatever session they are in.
Other systems have no subreaper: there, a process that left both its parent and the
tool's process group is not found.

The start of this program is part of the time of every tool. Therefore it does not
import `signal`, `threading` and `subprocess`, which take as long as Python's own start.
"""

import _thread
import ctypes
import os
import sys
import time

SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ = 1, 2, 9, 13, 15, 25
DEFAULT, IGNORE = ctypes.c_void_p(0), ctypes.c_void_p(1)
# See prctl(2).
PARENT_DEATH_SIGNAL, CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)
# The seconds between two rounds of SIGKILL.
PAUSE = 0.005
HAS_PROC = os.path.exists("/proc/self/stat")


def main(lifeline: int, grace: float, session: bool, argv: list[str]) -> None:
    """Run the tool to its end, and report its exit code."""
    os.set_inheritable(lifeline, False)
    prctl(CHILD_SUBREAPER, 1)
    tool = os.fork()
    if tool == 0:
        execute(argv, session, lifeline)
    # Only the suite decides when this program ends.
    for number in (SIGHUP, SIGINT, SIGTERM):
        LIBC.signal(number, IGNORE)
    _thread.start_new_thread(end_with_suite, (lifeline, grace, tool))
    code = wait_for(tool)
    end_descendants(tool)
    report(lifeline, f"exit {code}")


def execute(argv: list[str], session: bool, lifeline: int) -> None:
    """Replace this new process by the tool, or report why that is impossible."""
    # If the watcher is killed, at least the tool ends.
    prctl(PARENT_DEATH_SIGNAL, SIGKILL)
    # Python ignores these signals, and the tool would inherit that.
    for number in (SIGPIPE, SIGXFSZ):
        LIBC.signal(number, DEFAULT)
    if session:
        os.setsid()
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        report(lifeline, f"error {error.errno} ")
    os._exit(127)


def prctl(option: int, value: int) -> None:
    """Set an option of this process, on Linux only."""
    if hasattr(LIBC, "prctl"):
        LIBC.prctl(option, value, 0, 0, 0)


def report(lifeline: int, text: str) -> None:
    """Write to the suite, if it is still there."""
    try:
        os.write(lifeline, text.encode())
    except OSError:
        pass


def end_with_suite(lifeline: int, grace: float, tool: int) -> None:
    """End the tool when the suite closes its end of the socket, or is killed."""
    os.read(lifeline, 1)
    processes = living()
    in_session = {pid for pid, (_, session) in processes.items() if session == tool}
    # Parents first: a shell whose command ends first would continue with the next one.
    kill([tool, *sorted(in_session - {tool})], SIGTERM)
    time.sleep(grace)
    kill(descendants(tool), SIGKILL)


def wait_for(tool: int) -> int:
    """Return the exit code of the tool, or the negative number of its signal."""
    while True:
        # The watcher is also the parent of the tool's orphans.
        pid, status = os.wait()
        if pid == tool:
            return os.waitstatus_to_exitcode(status)


def end_descendants(tool: int) -> None:
    """Kill all processes that the tool left, also those that they start meanwhile."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            if not kill(descendants(tool), SIGKILL):
                # The other processes belong to another user.
                return
            time.sleep(PAUSE)
    except ChildProcessError:
        # No descendant is left. On other systems than Linux, orphans are no children.
        if not HAS_PROC:
            kill(descendants(tool), SIGKILL)


def kill(pids: list[int] | set[int], number: int) -> bool:
    """Send a signal to processes, and return whether one of them got it."""
    reached = False
    for pid in pids:
        try:
            os.kill(pid, number)
            reached = True
        except OSError:
            pass
    return reached


def descendants(tool: int) -> set[int]:
    """Return the living descendants of this process, and those in the tool's session.

    On macOS, these are the processes in the tool's group.
    """
    processes = living()
    found: set[int] = set()
    parents = {os.getpid()}
    while parents:
        found |= parents
        parents = {pid for pid, (parent, _) in processes.items() if parent in parents}
        parents -= found
    in_session = {pid for pid, (_, session) in processes.items() if session == tool}
    return (found | in_session) - {os.getpid()}


def living() -> dict[int, tuple[int, int]]:
    """Return the parent and the session of each living process, by its id.

    macOS does not show sessions. There, the process group is returned instead.
    """
    if not HAS_PROC:
        listing = os.popen("ps -A -o pid=,stat=,ppid=,pgid=").read()
        rows = [line.split() for line in listing.splitlines()]
    else:
        rows = [proc_row(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return {
        int(row[0]): (int(row[2]), int(row[3]))
        for row in rows
        if len(row) == 4 and row[1][0] not in "ZX"
    }


def proc_row(pid: str) -> list[str]:
    """Return the id, state, parent and session of a process; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The command is in parentheses and may contain any character; see proc(5).
            state, parent, _, session = file.read().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return []
    return [pid, state, parent, session]


if __name__ == "__main__":
    # The suite sets LC_ALL for this program: without it, Python would add LC_CTYPE to
    # the variables of the tool.
    if sys.argv[4]:
        os.environ["LC_ALL"] = sys.argv[4]
    else:
        del os.environ["LC_ALL"]
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1", sys.argv[5:])
