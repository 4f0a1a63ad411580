"""Tests that an interrupted run leaves no process, and that its result reports the
interruption.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from lake_ci.model.results import Result, Status, read
from testing.acceptance.conftest import LIMIT, Checkout, Lifeline, Start

PROCESSES = 3


class Running:
    """A run of nox in which the first job runs a tool that ignores all signals except
    SIGKILL.
    """

    def __init__(self, checkout: Checkout, start: Start, *arguments: str) -> None:
        self.root = checkout.root
        self.marker = checkout.root / "second-ran"
        checkout.write(
            "second.py", "from pathlib import Path\n\nPath('second-ran').touch()\n"
        )
        (checkout.root / "stubborn.py").replace(checkout.root / "first.py")
        self.tools = Lifeline(checkout.root / "tools")
        self.runners = Lifeline(checkout.root / "runners")
        self.nox = start(checkout, *arguments)
        self.tools.wait_for(PROCESSES, LIMIT)

    def output(self) -> str:
        """Wait until the run ends, and return its output."""
        return self.nox.communicate(timeout=LIMIT)[0]

    def result(self, job: str) -> Result:
        return read(self.root / "reports" / job)


@pytest.fixture
def run(small: Checkout, start: Start) -> Callable[..., Running]:
    """Return a function that starts nox in the small repository, and waits until the
    tool of the first job has started its children.
    """
    return lambda *arguments: Running(small, start, *arguments)


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("to_group", [False, True], ids=["to-nox", "to-group"])
def test_a_signal_to_a_session_ends_its_tools_and_is_named(
    run: Callable[..., Running], number: signal.Signals, to_group: bool
) -> None:
    running = run("-s", "first")
    send(running, number, to_group)
    running.tools.wait_for_end(LIMIT)
    output = running.output()
    result = running.result("first")
    assert (result.status, result.cause) == (Status.FAILURE, "interrupted"), output
    assert any(number.name in warning for warning in result.warnings)
    assert [check.name for check in result.checks] == ["first"]
    assert running.nox.returncode == 130
    running.runners.wait_for_end(LIMIT)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("to_group", [False, True], ids=["to-nox", "to-group"])
def test_a_signal_to_the_pipeline_ends_all_of_it(
    run: Callable[..., Running], number: signal.Signals, to_group: bool
) -> None:
    running = run()
    send(running, number, to_group)
    running.tools.wait_for_end(LIMIT)
    output = running.output()
    assert running.nox.returncode == 130, output
    result = running.result("first")
    assert (result.status, result.cause) == (Status.FAILURE, "interrupted"), output
    # nox kills a worker that has not ended 2 s after the signal. In place of the killed
    # worker, the pipeline writes the result.
    assert [check.name for check in result.checks] in (["first"], ["session"])
    second = running.result("second")
    assert (second.status, second.cause) == (Status.FAILURE, "interrupted")
    assert [check.status for check in second.checks] == [Status.SKIPPED]
    assert not running.marker.exists()
    assert "nox -s first" in output
    running.runners.wait_for_end(LIMIT)


def test_a_second_signal_changes_nothing(run: Callable[..., Running]) -> None:
    running = run("-s", "first")
    send(running, signal.SIGINT, to_group=True)
    running.tools.wait_for(PROCESSES + 1, LIMIT)
    send(running, signal.SIGINT, to_group=True)
    running.tools.wait_for_end(LIMIT)
    running.output()
    assert running.result("first").cause == "interrupted"
    assert running.nox.returncode == 130


def test_the_tools_of_a_killed_session_are_ended(run: Callable[..., Running]) -> None:
    running = run("-s", "first")
    send(running, signal.SIGKILL, to_group=False)
    running.tools.wait_for_end(LIMIT)
    running.runners.wait_for_end(LIMIT)
    assert running.nox.wait(LIMIT) == -signal.SIGKILL


def test_the_pipeline_ends_by_itself_once_the_outer_nox_is_killed(
    run: Callable[..., Running],
) -> None:
    running = run()
    send(running, signal.SIGKILL, to_group=False)
    running.tools.wait_for_end(LIMIT)
    running.runners.wait_for_end(LIMIT)
    assert not running.marker.exists()
    result = running.result("first")
    assert (result.status, result.cause) == (Status.FAILURE, "interrupted")


def send(running: Running, number: signal.Signals, to_group: bool) -> None:
    """Send a signal only to nox, or to its whole process group as a terminal does."""
    (os.killpg if to_group else os.kill)(running.nox.pid, number)
