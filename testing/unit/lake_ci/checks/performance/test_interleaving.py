"""Real processes take turns in the right order. If one of the processes ends, the rest
continue.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lake_ci.checks.performance.interleaving import TurnServer, order

# The program of a process: requests `turns` turns one after another, logs each turn,
# and exits without a message to the server.
PLAYER = """
import socket, sys
address, name, turns, log = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with socket.socket(socket.AF_UNIX) as line:
    line.connect(address)
    line.sendall(f"{name}\\n".encode())
    for turn in range(turns + 1):
        line.sendall(b".")
        if line.recv(1) != b"!":
            sys.exit(3)
        if turn < turns:
            with open(log, "a") as file:
                file.write(f"{name} begins\\n")
                file.flush()
                file.write(f"{name} ends\\n")
"""


def play(
    log: Path, rounds: int, turns: dict[str, int], absent: tuple[str, ...] = ()
) -> list[str]:
    """Start processes, grant turns to them in `rounds` rounds, and return the lines
    that they log. `turns` contains how many turns each process requests, by the name of
    the process.
    """
    with TurnServer() as granting:
        running = {
            name: subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PLAYER,
                    granting.address,
                    name,
                    str(number),
                    str(log),
                ]
            )
            for name, number in turns.items()
        }
        for name in absent:
            running[name] = subprocess.Popen(
                [sys.executable, "-c", "raise SystemExit(1)"]
            )
        granting.grant(list(running), rounds, lambda name: running[name].poll() is None)
        for process in running.values():
            process.wait(60)
    return log.read_text(encoding="utf-8").splitlines()


def both(names: str) -> list[str]:
    return [f"{name} {what}" for name in names.split() for what in ("begins", "ends")]


def test_each_comes_first_as_often_as_the_other() -> None:
    assert list(order(["old", "new"], 4)) == [
        "old",
        "new",
        "new",
        "old",
        "old",
        "new",
        "new",
        "old",
    ]


def test_only_one_works_at_a_time(tmp_path: Path) -> None:
    assert play(tmp_path / "log", 4, {"old": 4, "new": 4}) == both(
        "old new new old old new new old"
    )


def test_one_that_ends_early_loses_its_turns_and_the_other_keeps_them(
    tmp_path: Path,
) -> None:
    assert play(tmp_path / "log", 3, {"old": 1, "new": 3})[:4] == both("old new")
    assert (tmp_path / "log").read_text(encoding="utf-8").count("new begins") == 3


def test_one_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    assert play(tmp_path / "log", 2, {"new": 2}, absent=("old",)) == both("new new")


def test_the_address_is_short_wherever_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TurnServer() as granting:
        assert len(granting.address) < 100
        folder = Path(granting.address).parent
    assert not folder.exists()
