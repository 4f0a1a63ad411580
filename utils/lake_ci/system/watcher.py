"""Starts one tool, and ends all its descendants when the tool or the suite has ended.

This program runs as `python -I -S watcher.py LIFELINE GRACE SESSION LOCALE TOOL...`:

- LIFELINE is the file descriptor of a socket to the suite. The suite closes its end of
  the socket to stop the tool. The suite's end also closes when the suite is killed.
  This program writes the tool's exit code to the socket.
- GRACE is the number of seconds between SIGTERM and SIGKILL.
- SESSION is 1 if the tool gets its own process session.
- LOCALE is the value of the variable LC_ALL for the tool, or empty.

On Linux the watcher is a subreaper: the kernel makes it the parent of each descendant
whose own parent has ended. So the watcher finds all descendants, in any session. Other
systems have no subreaper: there, the watcher does not find a process whose parent has
ended and that has left the tool's process group.

This program must start quickly, because it starts before every tool. Therefore it does
not import `signal`, `threading` and `subprocess`: these imports would take as long as
the start of Python itself.
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
    # If the watcher is killed, the kernel kills at least the tool.
    prctl(PARENT_DEATH_SIGNAL, SIGKILL)
    # Python ignores these signals. Without this reset, the tool would ignore these
    # signals, too.
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
    """Write a text to the suite; do nothing if the suite has ended."""
    try:
        os.write(lifeline, text.encode())
    except OSError:
        pass


def end_with_suite(lifeline: int, grace: float, tool: int) -> None:
    """End the tool when the suite closes its end of the socket, or is killed."""
    os.read(lifeline, 1)
    processes = living()
    in_session = {pid for pid, (_, session) in processes.items() if session == tool}
    # Signal parents first. If a shell gets the signal after its command has ended, the
    # shell starts its next command.
    kill([tool, *sorted(in_session - {tool})], SIGTERM)
    time.sleep(grace)
    kill(descendants(tool), SIGKILL)


def wait_for(tool: int) -> int:
    """Wait for the tool; return its exit code, or -N if signal N killed the tool."""
    while True:
        # The watcher is also the parent of the tool's orphans, which may end earlier
        # than the tool.
        pid, status = os.wait()
        if pid == tool:
            return os.waitstatus_to_exitcode(status)


def end_descendants(tool: int) -> None:
    """Kill the tool's remaining descendants, and all processes that they start."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            if not kill(descendants(tool), SIGKILL):
                # The remaining processes belong to another user.
                return
            time.sleep(PAUSE)
    except ChildProcessError:
        # The watcher has no more children. Except on Linux, the tool's orphans are not
        # children of the watcher, but may still run.
        if not HAS_PROC:
            kill(descendants(tool), SIGKILL)


def kill(pids: list[int] | set[int], number: int) -> bool:
    """Send a signal to processes, and return whether at least one process got it."""
    reached = False
    for pid in pids:
        try:
            os.kill(pid, number)
            reached = True
        except OSError:
            pass
    return reached


def descendants(tool: int) -> set[int]:
    """Return this process's living descendants and all processes in the tool's session.

    On macOS, the tool's process group is used instead of its session.
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

    macOS does not show the session of a process. There, the process group is returned
    instead of the session.
    """
    if not HAS_PROC:
        import subprocess

        command = ["ps", "-A", "-o", "pid=,stat=,ppid=,pgid="]
        listing = subprocess.run(command, capture_output=True, text=True, check=False)
        rows = [line.split() for line in listing.stdout.splitlines()]
    else:
        rows = [proc_row(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return {
        int(row[0]): (int(row[2]), int(row[3]))
        for row in rows
        if len(row) == 4 and row[1][0] not in "ZX"
    }


def proc_row(pid: str) -> list[str]:
    """Return a process's id, state, parent and session; empty if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The command is in parentheses and may contain any character; see proc(5).
            state, parent, _, session = file.read().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return []
    return [pid, state, parent, session]


if __name__ == "__main__":
    # The suite starts this program with LC_ALL=C. Otherwise Python could add LC_CTYPE
    # to the variables, and the tool would inherit LC_CTYPE. Now set LC_ALL for the
    # tool.
    if sys.argv[4]:
        os.environ["LC_ALL"] = sys.argv[4]
    else:
        del os.environ["LC_ALL"]
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1", sys.argv[5:])
