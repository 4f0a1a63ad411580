"""Tests signals and orphaned processes with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lake_ci.errors import Interrupted
from lake_ci.system import signals

UTILS = str(Path(signals.__file__).parents[2])


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": UTILS},
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.usefixtures("handlers")
def test_a_signal_is_an_interruption_that_knows_its_name(name: str) -> None:
    signals.install()
    with pytest.raises(Interrupted) as raised:
        os.kill(os.getpid(), signal.Signals[name])
        signal.pause()
    assert raised.value.signal_name == name


@pytest.mark.usefixtures("handlers")
def test_a_second_signal_does_not_break_off_the_orderly_end() -> None:
    signals.install()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_on_purpose_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.usefixtures("handlers")
def test_a_thread_that_is_not_the_main_one_changes_no_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=signals.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_terminated_process_still_runs_its_finally() -> None:
    program = """
from lake_ci.system import signals
signals.install()
try:
    print("ready", flush=True)
    input()
except KeyboardInterrupt as error:
    print(repr(error))
finally:
    print("result written", flush=True)
"""
    with start(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "Interrupted('SIGTERM')\nresult written\n"


def test_a_process_ends_once_its_parent_is_killed() -> None:
    child = """
import signal
from lake_ci.system import signals
signals.PARENT_CHECK_SECONDS = 0.01
signals.install()
signals.end_with_parent()
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt as error:
    print(repr(error), flush=True)
"""
    parent = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {child!r}])
"""
    with start(parent) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
        # The orphan has inherited the pipe. So `read` returns only when the orphan has
        # ended.
        assert process.stdout.read() == "Interrupted('SIGTERM')\n"


@pytest.mark.usefixtures("handlers")
def test_the_watch_sends_sigterm_to_its_own_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signals.install()
    monkeypatch.setattr(signals, "PARENT_CHECK_SECONDS", 0.001)
    with pytest.raises(Interrupted, match="SIGTERM"):
        signals.end_with_parent()
        monkeypatch.setattr(os, "getppid", lambda: 1)
        signal.pause()
