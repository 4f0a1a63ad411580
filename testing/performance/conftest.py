"""Fixtures for the benchmarks. The fixtures measure rounds, processor time and peak
memory.

`pytest testing/performance` measures one version with pytest-benchmark. `nox -s
performance` runs two of these processes, for an old and a new version. The rounds of
both processes alternate: before each round, a process waits until it gets its turn over
a socket (`LAKE_CI_TURNS`).

A benchmark imports modules inside its function. If a version does not have the modules,
only this benchmark fails.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")
ROUNDS = int(os.environ.get("LAKE_CI_ROUNDS", "4"))
WARM_UPS = 1
"""The number of rounds at the start that are not counted, because they import modules,
compile and fill caches.
"""


class Turns:
    """Waits for the turns of this process. `address` is the address of the server that
    assigns turns. Without an address, the process never waits.
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address)
            self._socket.sendall(f"{os.environ['LAKE_CI_SIDE']}\n".encode())

    def wait(self) -> None:
        """Report that this process is idle, and wait for its next turn."""
        if self._socket is None:
            return
        self._socket.sendall(b".")
        if self._socket.recv(1) != b"!":
            raise RuntimeError("the process that assigns turns has ended")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class Measure:
    """Measures the wall time and the processor time of a function, in several rounds.

    Processor seconds include all threads of this process, and the processes that it has
    started. The load of other programs hardly affects processor seconds. But processor
    seconds do not include the time in which the function waits.
    """

    def __init__(self, benchmark: Any, turns: Turns) -> None:
        self._benchmark = benchmark
        self._turns = turns
        self._rounds: list[dict[str, tuple[float, float]]] = []
        self._open: tuple[str, float, float] | None = None

    def __call__(
        self,
        function: Callable[[], Result],
        *,
        setup: Callable[[], None] = lambda: None,
    ) -> Result:
        """Run the function in several rounds. `setup` runs before each round and is not
        timed. Returns the result of the last round.
        """
        results: list[Result] = []

        def between() -> None:
            results.clear()
            gc.collect()
            self._turns.wait()
            setup()
            self._rounds.append({})
            self._started = cpu_seconds()

        def timed() -> None:
            results.append(function())

        def after() -> None:
            self._rounds[-1][""] = (0.0, cpu_seconds() - self._started)

        self._benchmark.pedantic(
            timed, setup=between, teardown=after, rounds=ROUNDS, warmup_rounds=WARM_UPS
        )
        rounds = self._rounds[WARM_UPS:]
        names = [name for name in rounds[0] if all(name in each for each in rounds)]
        more = self._benchmark.extra_info
        more["parts"] = {
            name: [each[name][0] for each in rounds] for name in names if name
        }
        more["cpu"] = {name: [each[name][1] for each in rounds] for name in names}
        more["peak_mb"] = peak_mb()
        # Wait for one more turn before this process exits. Otherwise, the exit could
        # disturb a round of the other process.
        self._turns.wait()
        return results[-1]

    def step(self, doing: str, done: int, steps: int) -> None:
        """Start a new step of the round. The time of each step is recorded. lakekit
        calls this method through its parameter `progress`.
        """
        wall, cpu = time.perf_counter(), cpu_seconds()
        if self._open is not None:
            name, wall_before, cpu_before = self._open
            sums = self._rounds[-1].get(name, (0.0, 0.0))
            self._rounds[-1][name] = (
                sums[0] + wall - wall_before,
                sums[1] + cpu - cpu_before,
            )
        # The first word of the text is the name of the table, as in `bronze.flights
        # from flights.csv`.
        self._open = (doing.split()[0], wall, cpu) if doing else None


@pytest.fixture
def measure(benchmark: Any) -> Iterator[Measure]:
    """Yield a `Measure` for the function that a test measures."""
    turns = Turns(os.environ.get("LAKE_CI_TURNS"))
    yield Measure(benchmark, turns)
    turns.close()


def family() -> list[Path]:
    """Return the folders in /proc of all descendants of this process. On macOS, the
    list is empty.
    """
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int(_after_name(folder)[1])
    found: set[int] = set()
    grown = {os.getpid()}
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in grown}
        found |= grown
    return [Path("/proc", str(pid)) for pid in sorted(found)]


def _after_name(folder: Path) -> list[str]:
    # Parse only the fields after the last bracket (the state, the parent and more),
    # because the process name before it may contain any text.
    return (
        (folder / "stat")
        .read_text(encoding="utf-8", errors="replace")
        .rpartition(")")[2]
        .split()
    )


def cpu_seconds() -> float:
    """Return the processor seconds of this process, and of the processes that
    `watch_children` found.
    """
    ticks = 0
    for folder in _CHILDREN:
        with contextlib.suppress(OSError, ValueError, IndexError):
            after = _after_name(folder)
            ticks += int(after[11]) + int(after[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


_CHILDREN: list[Path] = []
"""The result of `watch_children`."""


def watch_children() -> None:
    """Count the processor seconds of the child processes that are running now, such as
    Spark's JVM. Processes that start later are not counted.
    """
    _CHILDREN[:] = family()


def peak_mb() -> float:
    """Return the peak resident memory of this process and its descendants in megabytes,
    or 0 if the system does not report the memory.
    """
    total = 0.0
    for folder in [Path("/proc/self"), *family()]:
        with contextlib.suppress(OSError):
            found = re.search(
                r"^VmHWM:\s+(\d+) kB",
                (folder / "status").read_text(encoding="utf-8"),
                re.MULTILINE,
            )
            total += int(found[1]) / 1024 if found else 0.0
    return total


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "exercises(*patterns): the files whose changes can affect the results of"
        " the benchmark; `*` also matches `/`",
    )
    config.addinivalue_line(
        "markers",
        "gate(generations, rounds): the number of pairs of processes for this"
        " benchmark, and the number of rounds in each process",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the list of benchmarks to the file that the variable `LAKE_CI_LIST`
    names.
    """
    if not os.environ.get("LAKE_CI_LIST"):
        return
    rows = []
    for item in session.items:
        exercises, gate = item.get_closest_marker("exercises"), item.get_closest_marker(
            "gate"
        )
        file, line, _ = item.location
        rows.append(
            {
                "id": item.nodeid,
                "name": item.name.removeprefix("test_"),
                "file": file,
                "line": (line or 0) + 1,
                "exercises": list(exercises.args) if exercises else [],
                "gate": dict(gate.kwargs) if gate else {},
            }
        )
    Path(os.environ["LAKE_CI_LIST"]).write_text(json.dumps(rows), encoding="utf-8")
