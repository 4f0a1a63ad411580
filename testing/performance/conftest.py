"""What the benchmarks share: rounds that take turns with those of another version, and their peak memory.

`pytest testing/performance` measures one version, as pytest-benchmark always does. `nox -s performance` runs two of
these processes at once, an old version and a new one, and lets only one of them work at a time: before each round a
process asks for its turn on a socket (`LAKE_CI_TURNS`). Whatever a benchmark needs is imported inside of it, so that a
version that lacks it fails in that benchmark alone.
"""

from __future__ import annotations

import gc
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

ROUNDS = int(os.environ.get("LAKE_CI_ROUNDS", "4"))
WARM_UPS = 1
"""Rounds that are dropped: the first imports, compiles and fills caches."""


class Measure(Protocol):
    """Times a function in rounds; `setup` makes ready before each, untimed, and `parts` splits what a round returned
    into named seconds."""

    def __call__(
        self,
        function: Callable[[], Any],
        *,
        setup: Callable[[], None] = ...,
        parts: Callable[[Any], Mapping[str, float]] = ...,
    ) -> Any: ...


class Turns:
    """This process's side of taking turns; without an address every turn is its own."""

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address)
            self._socket.sendall(f"{os.environ['LAKE_CI_SIDE']}\n".encode())

    def wait(self) -> None:
        """Say that nothing is being done here, and wait until something may be."""
        if self._socket is None:
            return
        self._socket.sendall(b".")
        if self._socket.recv(1) != b"!":
            raise RuntimeError("nobody is there to take turns with any more")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@pytest.fixture
def measure(benchmark: Any) -> Iterator[Measure]:
    """Times the test's function: see `Measure`. What the last round returned is returned."""
    turns = Turns(os.environ.get("LAKE_CI_TURNS"))
    split: dict[str, list[float]] = {}
    last: list[Any] = []

    def run(
        function: Callable[[], Any],
        *,
        setup: Callable[[], None] = lambda: None,
        parts: Callable[[Any], Mapping[str, float]] = lambda result: {},
    ) -> Any:
        def note() -> None:
            if last:
                for name, seconds in parts(last.pop()).items():
                    split.setdefault(name, []).append(seconds)

        def between() -> None:
            note()
            gc.collect()
            turns.wait()
            setup()

        def timed() -> None:
            last[:] = [function()]

        benchmark.pedantic(timed, setup=between, rounds=ROUNDS, warmup_rounds=WARM_UPS)
        result = last[0]
        note()
        benchmark.extra_info["parts"] = {name: seconds[WARM_UPS:] for name, seconds in split.items()}
        benchmark.extra_info["peak_mb"] = peak_mb()
        # The other side may still be at work: what ends this process must not disturb it.
        turns.wait()
        return result

    yield run
    turns.close()


def peak_mb() -> float:
    """The peak resident memory of this process and of those it started, in megabytes; 0 where the system tells none."""
    parents: dict[int, int] = {}
    peaks: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            facts = dict(
                line.split(":", 1) for line in (folder / "status").read_text(encoding="utf-8").splitlines()
            )
        except (OSError, ValueError):
            continue  # it has just ended
        if "VmHWM" in facts:
            parents[int(folder.name)] = int(facts["PPid"])
            peaks[int(folder.name)] = int(facts["VmHWM"].split()[0]) / 1024
    family, before = {os.getpid()}, 0
    while len(family) > before:
        before = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    return sum(peaks.get(pid, 0.0) for pid in family)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "exercises(*patterns): the files whose change can change the benchmark's figures; `*` spans folders",
    )
    config.addinivalue_line(
        "markers", "gate(generations, rounds): how many pairs of processes, and rounds in each, it is judged by"
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the list of benchmarks to the file that `LAKE_CI_LIST` names."""
    if not os.environ.get("LAKE_CI_LIST"):
        return
    rows = []
    for item in session.items:
        exercises, gate = item.get_closest_marker("exercises"), item.get_closest_marker("gate")
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
