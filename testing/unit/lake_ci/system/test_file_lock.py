"""Tests locks between processes. A second process waits for a lock. When the process
that holds the lock dies, the lock is released.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lake_ci.system.file_lock import locked, sign

HOLD = """
import sys
from pathlib import Path
from lake_ci.system.file_lock import locked, sign
with locked(Path(sys.argv[1])):
    sign(Path(sys.argv[1]), "process 4711")
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(sys.modules["lake_ci"].__path__[0]).parent)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_free_lock_is_taken_at_once_and_its_folder_made(tmp_path: Path) -> None:
    waited: list[str] = []
    with locked(tmp_path / "new" / "folder" / "a.lock", waited.append):
        assert (tmp_path / "new" / "folder" / "a.lock").exists()
    assert waited == []


def test_who_waits_is_told_who_holds_and_gets_the_lock_in_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.lock"
    with holder(path) as process:

        def waiting(text: str) -> None:
            holders.append(text)
            process.communicate()  # closes standard input, which ends the holder

        holders: list[str] = []
        with locked(path, waiting):
            assert process.poll() == 0
    assert holders == ["process 4711"]


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with holder(path) as process:
        process.kill()
        process.wait()
        waited: list[str] = []
        with locked(path, waited.append):
            pass
    assert waited == []


def test_a_lock_can_be_taken_again_after_an_error_inside(tmp_path: Path) -> None:
    waited: list[str] = []
    for _ in range(2):
        try:
            with locked(tmp_path / "a.lock", waited.append):
                raise ValueError
        except ValueError:
            pass
    assert waited == []


def test_signing_replaces_the_last_holder(tmp_path: Path) -> None:
    sign(tmp_path / "a.lock", "a much longer signature than the next")
    sign(tmp_path / "a.lock", "short")
    assert (tmp_path / "a.lock").read_text() == "short\n"
