"""The containers and volumes that the tests of the images create have labels and time
limits, and are removed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from testing.images.containers import Engine, reason

# A fake docker that records its arguments, and lists a container and a volume.
DOCKER = """\
#!{python}
import sys, time
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "wait":
    time.sleep(600)
if sys.argv[1] in ("ps", "volume"):
    print("first second")
sys.exit(3 if sys.argv[1] == "fail" else 0)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the fake docker on PATH, and return its log of calls."""
    log = tmp_path / "log"
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(python=sys.executable, log=str(log)))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return log


@pytest.fixture
def engine(log: Path) -> Engine:
    return Engine("pond/api:checked", "checkout=0123", "test=4567")


def test_container_carries_both_labels_and_is_not_kept(
    engine: Engine, log: Path
) -> None:
    engine.run("token", options=("--network=none",))
    labels = "--label=checkout=0123 --label=test=4567"
    assert (
        log.read_text() == f"run --rm {labels} --network=none pond/api:checked token\n"
    )


def test_only_what_the_test_started_is_removed(engine: Engine, log: Path) -> None:
    engine.remove()
    assert log.read_text().splitlines() == [
        "ps --all --quiet --filter=label=test=4567",
        "rm --force --volumes first second",
        "volume ls --quiet --filter=label=test=4567",
        "volume rm --force first second",
    ]


def test_two_modules_start_things_under_marks_of_their_own() -> None:
    assert Engine("image", "label").mark != Engine("image", "label").mark


def test_command_that_hangs_fails_the_test(engine: Engine) -> None:
    with pytest.raises(pytest.fail.Exception, match="docker wait took more than 0 s"):
        engine.ask("wait", seconds=0.01)


def test_command_that_fails_is_named_with_its_exit_code(engine: Engine) -> None:
    with pytest.raises(pytest.fail.Exception, match="docker fail exited with 3"):
        engine.answer("fail")
    assert reason("docker", engine.ask("fail")) == "docker exited with 3"
