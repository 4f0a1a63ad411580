"""Fixtures of the benchmarks: rounds that alternate with the rounds of another version,
and peak memory.

`pytest testing/performance` measures one version with pytest-benchmark. `nox -s
performance` runs two of these processes, an old and a new version, and lets only one
work at a time: before each round, a process requests its turn on a socket
(`LAKE_CI_TURNS`). A benchmark imports modules inside its function, so that only this
benchmark fails in a version without these modules.
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
"""The number of rounds that are dropped: the first rounds import, compile and fill
caches.
"""


class Turns:
    """The client that requests turns for this process. Without an address, it never
    waits.
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address)
            self._socket.sendall(f"{os.environ['LAKE_CI_SIDE']}\n".encode())

    def wait(self) -> None:
        """Report that this process is idle, and wait for the next turn."""
        if self._socket is None:
            return
        self._socket.sendall(b".")
        if self._socket.recv(1) != b"!":
            raise RuntimeError("nobody is there to take turns with any more")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class Measure:
    """Times a function in rounds, by the clock and by the processor.

    Processor seconds include all threads of this process and the processes that it
    started. Processor seconds hardly depend on other load of the machine, but do not
    include waiting.
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
        """Run the function in rounds, each after `setup`, which is not timed; return
        the result of the last round.
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
        # Wait for the other process, whose measurement the exit of this process must
        # not disturb.
        self._turns.wait()
        return results[-1]

    def step(self, doing: str, done: int, steps: int) -> None:
        """Start a new step, so that the time of a round is split into steps. lakekit
        calls this method as `progress`.
        """
        wall, cpu = time.perf_counter(), cpu_seconds()
        if self._open is not None:
            name, wall_before, cpu_before = self._open
            sums = self._rounds[-1].get(name, (0.0, 0.0))
            self._rounds[-1][name] = (
                sums[0] + wall - wall_before,
                sums[1] + cpu - cpu_before,
            )
        # The first word is the name of the table: `bronze.flights from flights.csv`.
        self._open = (doing.split()[0], wall, cpu) if doing else None


@pytest.fixture
def measure(benchmark: Any) -> Iterator[Measure]:
    """Yield a `Measure` that times the test's function."""
    turns = Turns(os.environ.get("LAKE_CI_TURNS"))
    yield Measure(benchmark, turns)
    turns.close()


def family() -> list[Path]:
    """Return the folders in /proc of all descendants of this process; empty on
    macOS.
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
    # A process name may contain any text, so only the text after the last bracket is
    # parsed: state, parent, ...
    return (
        (folder / "stat")
        .read_text(encoding="utf-8", errors="replace")
        .rpartition(")")[2]
        .split()
    )


def cpu_seconds() -> float:
    """Return the processor seconds of this process and its descendants."""
    ticks = 0
    for folder in _CHILDREN:
        with contextlib.suppress(OSError, ValueError, IndexError):
            after = _after_name(folder)
            ticks += int(after[11]) + int(after[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


_CHILDREN: list[Path] = []
"""The result of `watch_children`."""


def watch_children() -> None:
    """Also count the processor seconds of the processes that were started until now,
    such as Spark's JVM.
    """
    _CHILDREN[:] = family()


def peak_mb() -> float:
    """Return the peak resident memory of this process and its descendants in megabytes;
    0 if the system does not report it.
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
        "exercises(*patterns): the files whose change can change the benchmark's"
        " figures; `*` spans folders",
    )
    config.addinivalue_line(
        "markers",
        "gate(generations, rounds): how many pairs of processes, and rounds in each, it"
        " is judged by",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the list of benchmarks to the file in `LAKE_CI_LIST`."""
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
