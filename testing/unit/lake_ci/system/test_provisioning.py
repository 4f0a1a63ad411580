"""Sessions wait for resources that are being prepared. The state of a resource is an
input of the cache, so it must be the same before and after the preparation.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake_ci.errors import MachineError
from lake_ci.system import provisioning
from lake_ci.system.provisioning import FOLDER, find, wait

# A process that prepares the engine. When the program reads a line, the engine is
# ready. When the program's input is closed, the preparation fails.
PREPARE = """
import fcntl, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "engine.running").open("a") as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print("running", flush=True)
    if sys.stdin.readline():
        (folder / "engine.ready").touch()
"""


class Background:
    """A process that prepares the engine."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "running\n"

    def succeed(self) -> None:
        self.process.communicate("ready\n")

    def fail(self) -> None:
        self.process.communicate("")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that declares the resource `engine`. The engine is not ready, and
    no process prepares it.
    """
    (tmp_path / "engine.resource").write_text("engine 1\nDOCKER_HOST=\n")
    (tmp_path / "engine.running").touch()
    (tmp_path / "engine.log").write_text(
        "".join(f"line {number}\n" for number in range(99))
    )
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[], Background]]:
    started: list[Background] = []

    def run() -> Background:
        started.append(Background(folder))
        return started[-1]

    yield run
    for each in started:
        each.kill()


def env(folder: Path, **more: str) -> dict[str, str]:
    return {FOLDER: str(folder), **more}


def test_a_session_waits_until_the_resource_is_ready(
    folder: Path, start: Callable[[], Background]
) -> None:
    background, lines = start(), list[str]()

    def say(line: str) -> None:
        lines.append(line)
        background.succeed()

    assert wait(["terraform", "engine", "engine"], env(folder), say) is True
    assert lines == [
        f"waiting for engine, which is being prepared; log: {folder}/engine.log"
    ]
    assert wait(["engine"], env(folder), lines.append) is False
    assert len(lines) == 1


@pytest.mark.parametrize("end", [Background.fail, Background.kill])
def test_failed_or_killed_preparation_raises_with_the_end_of_the_log(
    folder: Path, start: Callable[[], Background], end: Callable[[Background], None]
) -> None:
    background = start()
    with pytest.raises(MachineError) as raised:
        wait(["engine"], env(folder), lambda line: end(background))
    lines = str(raised.value).splitlines()
    assert lines[0] == "engine could not be prepared"
    assert lines[1] == "line 87" and lines[-1].startswith("line 98 (full log: ")
    assert "source .ci/prepare" in lines[-1]
    assert raised.value.exit_code == 3


def test_another_run_that_prepares_the_same_is_waited_for(
    folder: Path, start: Callable[[], Background]
) -> None:
    first, second = start(), start()

    def say(line: str) -> None:
        first.kill()
        second.succeed()

    assert wait(["engine"], env(folder), say) is True


def test_the_wait_ends_at_the_limit(
    folder: Path, start: Callable[[], Background]
) -> None:
    start()
    with pytest.raises(
        MachineError, match="engine was not ready within the time limit"
    ):
        wait(["engine"], env(folder), lambda line: None, limit_seconds=0)


def test_a_full_disk_and_a_missing_log_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "engine.log").unlink()
    monkeypatch.setattr(provisioning, "FULL_BYTES", 2**62)
    with pytest.raises(
        MachineError, match=r"engine\.log is empty\nthe disk is full: \d+ MB"
    ):
        wait(["engine"], env(folder), lambda line: None)


def test_what_the_session_does_not_use_is_not_waited_for(folder: Path) -> None:
    lines: list[str] = []
    assert wait(["engine"], {}, lines.append) is False
    assert wait(["api-server"], env(folder), lines.append) is False
    assert (
        wait(["engine"], env(folder, DOCKER_HOST="tcp://other"), lines.append) is False
    )
    assert lines == []


def test_the_state_is_the_identity_before_and_after(folder: Path) -> None:
    resource = find(env(folder), "engine")
    assert resource is not None

    def surprise() -> str:
        raise AssertionError("observed before it is ready")

    assert resource.state(surprise) == "engine 1"
    (folder / "engine.ready").touch()
    assert resource.state(lambda: "20.10 sha256:1") == "engine 1"
    assert resource.state(lambda: "20.10 sha256:1") == "engine 1"
    # A second engine replaces the first one. Later, the first engine is back.
    assert resource.state(lambda: "20.10 sha256:2") == "20.10 sha256:2"
    assert resource.state(lambda: "20.10 sha256:1") == "engine 1"


def test_an_identity_does_not_take_over_the_state_of_another_one(folder: Path) -> None:
    (folder / "engine.ready").touch()
    first = find(env(folder), "engine")
    assert first is not None and first.state(lambda: "sha256:1") == "engine 1"
    (folder / "engine.resource").write_text("engine 2\n")
    second = find(env(folder), "engine")
    assert second is not None and second.state(lambda: "sha256:2") == "engine 2"
    assert second.state(lambda: "sha256:1") == "sha256:1"
