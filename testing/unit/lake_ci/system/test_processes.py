"""Tests with real child processes and grandchildren that their output is complete and
that no process remains.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lake_ci.errors import LakeCiError
from lake_ci.system import processes
from lake_ci.system.processes import Completed, Processes, processor_seconds
from lake_ci.system.redaction import Redactor

sessions = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"),
    reason="only Linux tells which session a process is of, and when a stranger ends",
)
UTILS = Path(processes.__file__).parents[2]
# Seconds after which a wait counts as a hang, even on a busy machine.
LIMIT = 60
# A child that prints its id and the ids of two grandchildren, and then waits. One of
# the grandchildren is in a separate process group.
FAMILY = """
import os, signal, subprocess, sys
same = subprocess.Popen(["sleep", "6000"])
if sys.version_info >= (3, 11):
    moved = subprocess.Popen(["sleep", "6000"], process_group=0)
else:
    moved = subprocess.Popen(["sleep", "6000"], preexec_fn=os.setpgrp)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), same.pid, moved.pid, flush=True)
if "leave" not in sys.argv:
    signal.pause()
    while True:
        signal.pause()
"""


def run(program: list[str], cwd: Path, **options: Any) -> Completed:
    return Processes().run(program, cwd=cwd, env=os.environ, **options)


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def is_gone(pid: int) -> bool:
    """Wait until a process that got a signal ends. Returns False if it does not end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], LIMIT)[0])
    finally:
        os.close(descriptor)


def test_both_outputs_and_the_exit_code_are_kept_apart(tmp_path: Path) -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
    assert (done.stdout, done.stderr, done.code, done.stopped) == (
        "out\n",
        "err\n",
        3,
        None,
    )
    assert done.argv[0] == "sh"
    assert done.seconds > 0


def test_the_command_sees_its_folder_its_environment_and_no_input(
    tmp_path: Path,
) -> None:
    done = Processes().run(
        ["/bin/sh", "-c", "pwd; echo $WHO; cat"],
        cwd=tmp_path,
        env={"WHO": "me", "PATH": os.environ["PATH"]},
    )
    assert done.stdout == f"{tmp_path}\nme\n"


def test_a_lot_of_output_on_both_pipes_does_not_block(tmp_path: Path) -> None:
    program = (
        "import sys\nfor _ in range(20000): print('x' * 9); "
        "print('y' * 9, file=sys.stderr)"
    )
    done = run(python(program), tmp_path)
    assert (len(done.stdout), len(done.stderr)) == (200000, 200000)


def test_lines_are_echoed_as_they_come_and_kept_too(tmp_path: Path) -> None:
    lines: list[str] = []
    done = run(["sh", "-c", "echo one; echo two"], tmp_path, echo=lines.append)
    assert lines == ["one\n", "two\n"]
    assert done.stdout == "one\ntwo\n"


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    assert run(["printf", r"\377ok"], tmp_path).stdout == "\ufffdok"


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(["no-such-program"], tmp_path)


def test_an_attached_child_writes_to_the_terminal_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(["sh", "-c", "echo to the terminal"], tmp_path, attached=True)
    assert (done.stdout, done.stderr, done.code) == ("", "", 0)
    assert capfd.readouterr().out == "to the terminal\n"


@sessions
@pytest.mark.parametrize("mode", [[], ["deaf"]])
def test_after_the_time_limit_the_child_and_all_its_descendants_are_gone(
    tmp_path: Path, mode: list[str]
) -> None:
    started = threading.Event()

    def clock() -> float:
        """Return a clock that reaches the time limit when the child and its
        grandchildren have started.
        """
        assert started.wait(LIMIT)
        return 1.0

    done = Processes(clock).run(
        python(FAMILY, *mode),
        cwd=tmp_path,
        env=os.environ,
        deadline=1.0,
        echo=lambda line: started.set(),
        grace=0.1,
    )
    assert done.stopped == "timeout"
    assert done.code < 0
    family = [int(pid) for pid in done.stdout.split()]
    assert len(family) == 3
    assert all(is_gone(pid) for pid in family)


def test_a_deadline_that_has_passed_ends_the_child_at_once(tmp_path: Path) -> None:
    done = run(["sleep", "6000"], tmp_path, deadline=time.monotonic() - 1)
    assert (done.stopped, done.code) == ("timeout", -signal.SIGTERM)


@sessions
def test_grandchildren_left_behind_by_a_good_end_are_ended_too(tmp_path: Path) -> None:
    done = run(python(FAMILY, "leave"), tmp_path)
    assert (done.code, done.stopped) == (0, None)
    assert all(is_gone(int(pid)) for pid in done.stdout.split())


BURN = """
import subprocess, sys, time
while time.process_time() < 0.3:
    pass
if "orphan" in sys.argv:
    print("ready", flush=True)
    time.sleep(6000)
if "parent" in sys.argv:
    child = subprocess.Popen(
        [sys.executable, "-c", sys.argv[1], "", "orphan"], stdout=subprocess.PIPE
    )
    child.stdout.readline()
"""


def test_processor_seconds_include_children_that_were_waited_for(
    tmp_path: Path,
) -> None:
    before = processor_seconds()
    run(python(BURN), tmp_path)
    assert processor_seconds() - before >= 0.3


@sessions
def test_processor_seconds_include_an_orphan_that_was_ended(tmp_path: Path) -> None:
    before = processor_seconds()
    assert run(python(BURN, BURN, "parent"), tmp_path).code == 0
    # The parent and the orphan use 0.3 s of processor time each.
    assert processor_seconds() - before >= 0.59


@sessions
def test_a_daemon_in_a_session_of_its_own_is_ended_with_the_tool(
    tmp_path: Path,
) -> None:
    program = """
import subprocess
daemon = subprocess.Popen(["sleep", "6000"], start_new_session=True)
print("printed", daemon.pid, flush=True)
"""
    done = run(python(program), tmp_path)
    word, pid = done.stdout.split()
    assert (word, done.code) == ("printed", 0)
    assert is_gone(int(pid))


def test_a_stopped_shell_does_not_continue_with_its_next_command(
    tmp_path: Path,
) -> None:
    # The script starts several processes, because their order relative to the shell is
    # arbitrary when all of them are stopped.
    script = "sleep 6000 & sleep 6000 & echo started; sleep 6000; echo never"
    running = Processes()
    done = running.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=os.environ,
        echo=lambda line: running.stop_all() if "started" in line else None,
    )
    assert (done.code, done.stopped) == (-signal.SIGTERM, "interrupted")
    assert done.stdout == "started\n"


@sessions
def test_stop_all_ends_every_family_and_starts_no_further_one(tmp_path: Path) -> None:
    running = Processes()
    ready = [threading.Event(), threading.Event()]
    done: list[Completed] = []

    def work(event: threading.Event) -> None:
        argv = python(FAMILY)
        done.append(
            running.run(
                argv, cwd=tmp_path, env=os.environ, echo=lambda line: event.set()
            )
        )

    threads = [threading.Thread(target=work, args=[event]) for event in ready]
    for thread in threads:
        thread.start()
    assert all(event.wait(LIMIT) for event in ready)
    running.stop_all()
    for thread in threads:
        thread.join(LIMIT)
    assert [each.stopped for each in done] == ["interrupted", "interrupted"]
    assert all(is_gone(int(pid)) for each in done for pid in each.stdout.split())

    late = running.run(["touch", "late"], cwd=tmp_path, env=os.environ)
    assert late.stopped == "interrupted"
    assert late.code != 0
    assert not (tmp_path / "late").exists()


def test_a_child_that_ended_before_stop_all_ended_by_itself(tmp_path: Path) -> None:
    running = Processes()
    done = running.run(["true"], cwd=tmp_path, env=os.environ)
    running.stop_all()
    assert (done.code, done.stopped) == (0, None)


# A program that runs the watcher as if the file system /proc did not exist.
WITHOUT_PROC = """
import os, runpy, sys
exists = os.path.exists
os.path.exists = lambda path: path != "/proc/self/stat" and exists(path)
runpy.run_path({watcher!r}, run_name="__main__")
"""


@sessions
def test_without_a_proc_file_system_the_group_is_found_by_ps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = tmp_path / "watcher.py"
    watcher.write_text(WITHOUT_PROC.format(watcher=str(processes.WATCHER)))
    monkeypatch.setattr(processes, "WATCHER", watcher)
    program = (
        "import os, subprocess, sys\nprint(subprocess.Popen(['sleep', '6000']).pid)"
    )
    done = run(python(program), tmp_path)
    assert is_gone(int(done.stdout))


@pytest.mark.parametrize(
    "more", [{}, {"LC_ALL": "de_DE.UTF-8"}, {"LC_CTYPE": "C"}], ids=str
)
def test_a_tool_gets_exactly_its_variables(
    tmp_path: Path, more: dict[str, str]
) -> None:
    env = {"PATH": os.environ["PATH"], "WHO": "mich: ä\nÖ", **more}
    done = Processes().run(["env", "-0"], cwd=tmp_path, env=env)
    assert dict(row.split("=", 1) for row in done.stdout.split("\0") if row) == env


@pytest.mark.parametrize("name", ["PIPE", "XFSZ", "TERM"])
def test_a_tool_does_not_inherit_ignored_signals(tmp_path: Path, name: str) -> None:
    done = run(["sh", "-c", f"kill -{name} $$"], tmp_path)
    assert done.code == -signal.Signals[f"SIG{name}"]


def test_a_file_that_is_not_executable_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    with pytest.raises(PermissionError, match="tool"):
        run([str(tmp_path / "tool")], tmp_path)


# A tool, its child and an orphan keep the pipe `lifeline` open, and ignore SIGTERM. The
# child and the orphan have their own process sessions.
ESCAPING = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
pipe = os.open("lifeline", os.O_WRONLY)

def stay():
    os.write(pipe, b"%d\\n" % os.getpid())
    while True:
        signal.pause()

if os.fork() == 0:
    os.setsid()
    stay()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay()
    os._exit(0)
os.wait()
print("ready", flush=True)
stay()
"""
SUITE = """
import os, sys
from pathlib import Path
from lake_ci.system.processes import Processes
tool = [sys.executable, "-c", sys.argv[2]]
options = {{"cwd": Path.cwd(), "env": os.environ}}
{start}
"""


@sessions
@pytest.mark.parametrize(
    "start",
    [
        "Processes().run(tool, **options)",
        "Processes().run(tool, **options, attached=True)",
        "with Processes().serving(tool, **options): sys.stdin.read()",
    ],
    ids=["tool", "attached", "server"],
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_the_death_of_the_suite_no_descendant_of_a_tool_is_left(
    tmp_path: Path, start: str, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "lifeline")
    lifeline = os.open(tmp_path / "lifeline", os.O_RDONLY | os.O_NONBLOCK)
    suite = subprocess.Popen(
        [sys.executable, "-c", SUITE.format(start=start), "", ESCAPING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(UTILS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with suite:
        text = b""
        while text.count(b"\n") < 3:
            assert select.select([lifeline], [], [], LIMIT)[0]
            text += os.read(lifeline, 4096)
        suite.send_signal(number)
        # The read returns nothing when no process has the pipe open.
        while text:
            assert select.select([lifeline], [], [], LIMIT)[0], "still there"
            text = os.read(lifeline, 4096)
    os.close(lifeline)


@sessions
def test_a_tool_ends_with_its_watcher(tmp_path: Path) -> None:
    program = """
import os, signal
print(os.getpid(), flush=True)
os.kill(os.getppid(), signal.SIGKILL)
signal.pause()
"""
    done = run(python(program), tmp_path)
    assert done.code == -signal.SIGKILL
    assert is_gone(int(done.stdout))


@pytest.mark.parametrize(
    ("stdout", "stderr", "shown"),
    [
        ("out", "err", "err"),
        ("out", " \n", "out"),
        ("\n".join("abcd"), "", "c\nd"),
        ("", "", ""),
    ],
)
def test_the_last_lines_are_those_of_the_errors_else_of_the_output(
    stdout: str, stderr: str, shown: str
) -> None:
    assert Completed(("x",), 1, stdout, stderr, 0.0).last_lines(2) == shown


def test_an_attached_child_is_ended_at_the_time_limit_too(tmp_path: Path) -> None:
    done = run(
        ["sleep", "6000"], tmp_path, attached=True, deadline=time.monotonic() - 1
    )
    assert (done.stopped, done.code) == ("timeout", -15)


def serving(
    program: list[str], cwd: Path, **options: Any
) -> AbstractContextManager[str]:
    return Processes().serving(
        [sys.executable, "-c", *program], cwd=cwd, env=os.environ, **options
    )


# A server that prints `ready` and its process id, and runs until its standard input is
# closed.
SERVER = "import os, sys; print('ready', os.getpid(), flush=True); sys.stdin.read()"


@sessions
def test_a_server_lives_as_long_as_the_block(tmp_path: Path) -> None:
    with serving([SERVER], tmp_path) as line:
        word, pid = line.split()
        assert word == "ready"
        watched = os.pidfd_open(int(pid))
        assert not select.select([watched], [], [], 0)[0]
    assert select.select([watched], [], [], LIMIT)[0]
    os.close(watched)


@sessions
def test_a_server_ends_with_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        with serving([SERVER], tmp_path) as line:
            watched = os.pidfd_open(int(line.split()[1]))
            raise KeyError
    assert select.select([watched], [], [], LIMIT)[0]
    os.close(watched)


def test_server_that_ends_before_it_is_ready_raises_with_last_lines(
    tmp_path: Path,
) -> None:
    with pytest.raises(LakeCiError, match="did not start\nno such port"):
        with serving(["import sys; sys.exit('no such port')"], tmp_path):
            pytest.fail("not ready")


def test_a_server_that_says_nothing_is_ended_at_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(LakeCiError, match="did not start"):
        with serving(
            ["import time; time.sleep(6000)"], tmp_path, deadline=time.monotonic() + 0.2
        ):
            pytest.fail("not ready")


@sessions
def test_a_server_is_stopped_with_all_others_and_none_is_started_any_more(
    tmp_path: Path,
) -> None:
    running = Processes()
    program = [sys.executable, "-c", SERVER]
    with running.serving(program, cwd=tmp_path, env=os.environ) as line:
        watched = os.pidfd_open(int(line.split()[1]))
        running.stop_all()
        assert select.select([watched], [], [], LIMIT)[0]
        os.close(watched)
    with pytest.raises(LakeCiError, match="was not started: interrupted"):
        with running.serving(program, cwd=tmp_path, env=os.environ):
            pytest.fail("started")


SECRET = "dapi0123456789abcdef"
# The program writes a line in parts, as programs without output buffering do.
PARTS = """
import os, sys
for part in ("Bearer dapi0123", "456789abcdef", " was refused\\n"):
    os.write(1, part.encode())
os.write(2, repr(os.environ["DATABRICKS_TOKEN"]).encode())
"""


@pytest.mark.parametrize("known_to", ["the child", "the suite"])
def test_the_output_of_a_child_is_redacted_also_where_it_comes_in_parts(
    tmp_path: Path, known_to: str
) -> None:
    echoed: list[str] = []
    name = "DATABRICKS_TOKEN" if known_to == "the child" else "OTHER"
    program = python(PARTS.replace("DATABRICKS_TOKEN", name))
    redact = Redactor([SECRET]) if known_to == "the suite" else None
    env = {**os.environ, name: f"{SECRET}\n"}
    done = Processes(redact=redact).run(
        program, cwd=tmp_path, env=env, echo=echoed.append
    )
    assert done.stdout == "Bearer [hidden] was refused\n"
    assert done.stderr == "'[hidden]\\n'"
    assert sorted(echoed) == sorted([done.stdout, done.stderr])


def test_a_server_has_a_raw_first_line_and_redacted_errors(tmp_path: Path) -> None:
    env = {**os.environ, "WORKSPACE_EMULATOR_TOKEN": SECRET}
    program = python(f"import sys; print('{SECRET}', flush=True); sys.stdin.read()")
    with Processes().serving(program, cwd=tmp_path, env=env) as line:
        assert line.strip() == SECRET
    failing = python(f"import sys; sys.exit('no token {SECRET}')")
    with pytest.raises(LakeCiError, match=r"no token \[hidden\]") as caught:
        with Processes().serving(failing, cwd=tmp_path, env=env):
            pytest.fail("not ready")
    assert SECRET not in str(caught.value)
