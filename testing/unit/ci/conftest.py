"""Defines a simulated machine for tests of the scripts in `.ci`. The machine has a
checkout, and a PATH with a few programs. Tests add more programs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The time limit of a step, much longer than any step takes.
SECONDS = 60
SCRIPTS = Path(__file__).parents[3] / ".ci"
PROGRAMS = """
    bash basename cat chmod cut date dirname env find flock grep id ionice ln mkdir
    mktemp mv nice rm sed setsid sha256sum sh sleep tail touch
"""
# The script of a fake resource. The preparation succeeds if `good` is written to the
# resource's pipe. While the preparation runs, it keeps the pipe `lifeline` open.
RESOURCE = """\
#!/usr/bin/env bash
set -eu
name=${0##*/}
case $1 in
  base) echo own/base ;;
  check) [ -e "$STATE/$name.made" ] ;;
  describe) cat /proc/sys/kernel/random/uuid ;;
  make)
    exec 3>"$STATE/lifeline"
    echo "making $name" | tee -a "$STATE/order"
    read -r word <"$STATE/$name.pipe"
    [ "$word" = good ] || { echo "$name is $word" >&2; exit 7; }
    touch "$STATE/$name.made"
    ;;
esac
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On systems other than Linux, skip the tests in this folder. The scripts need
    flock, setsid and /proc.
    """
    if sys.platform != "linux":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="the scripts are for Linux"))


def group_members(group: int) -> list[int]:
    """Return the running processes of a process group."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Skip the program's name, which is in parentheses and can contain spaces.
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                members.append(int(stat.parent.name))
    return members


class Machine:
    """A simulated machine for one test.

    Attributes:
        checkout: the folder of the checkout, which contains a copy of `.ci`.
        bin: the folder with all programs on PATH.
        cache: the folder `lake-ci` in the home's cache folder.
        state: a folder for the files of the programs that tests add.
        env: all environment variables.
    """

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.cache = self.home / ".cache" / "lake-ci"
        self.state = folder / "state"
        for each in (self.checkout, self.bin, self.home, self.state):
            each.mkdir()
        shutil.copytree(SCRIPTS, self.checkout / ".ci")
        for name in [*PROGRAMS.split(), "tee"]:
            found = shutil.which(name)
            assert found is not None, name
            (self.bin / name).symlink_to(found)
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "STATE": str(self.state),
        }
        self.groups: set[int] = set()
        os.mkfifo(self.state / "lifeline")
        # Open the pipe for reading, because a writer waits until there is a reader.
        self.lifeline = os.open(self.state / "lifeline", os.O_RDONLY | os.O_NONBLOCK)

    @property
    def folder(self) -> Path:
        """Return the folder in which sessions look for prepared resources."""
        return self.cache / "provisioning"

    def program(self, name: str, *lines: str) -> None:
        """Put a program on PATH. If there is a program with the same name, replace
        it.
        """
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
        (self.bin / name).chmod(0o755)

    def resource(self, name: str, text: str = RESOURCE) -> None:
        """Replace a real resource with a fake one."""
        (self.checkout / ".ci" / name).write_text(text)
        (self.checkout / ".ci" / name).chmod(0o755)
        os.mkfifo(self.state / f"{name}.pipe")

    def answer(self, name: str, word: str) -> None:
        """Wait until a resource is being prepared. If `word` is `good`, the preparation
        succeeds; otherwise, it fails.
        """
        (self.state / f"{name}.pipe").write_text(f"{word}\n")

    def made(self) -> list[str]:
        """Return the resources whose preparation has started, in the order in which
        they started.
        """
        order = self.state / "order"
        lines = order.read_text().splitlines() if order.exists() else []
        return [line.removeprefix("making ") for line in lines]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, and wait until it ends."""
        return subprocess.run(
            command,
            cwd=self.checkout,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command, and fail the test if the command fails."""
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        return done

    def provision(self, *names: str) -> int:
        """Start to prepare resources. Returns the id of the process group that prepares
        the resources, or 0 if nothing must be prepared.
        """
        done = self.succeed(".ci/provision", *names)
        group = int(done.stdout or 0)
        self.groups |= {group} - {0}
        return group

    def end(self, group: int, number: signal.Signals) -> None:
        """Kill a process group, and wait until all its processes have ended.

        A remaining process of the group could read the answer for the next preparation.
        """
        os.killpg(group, number)
        for process in group_members(group):
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process)
                try:
                    ended = select.select([handle], [], [], SECONDS)[0]
                    assert ended, f"{process} did not end"
                finally:
                    os.close(handle)

    def release(self) -> None:
        """Let all running preparations fail, and wait until they have ended."""
        pipes = [os.open(path, os.O_RDWR) for path in self.state.glob("*.pipe")]
        for pipe in pipes:
            os.write(pipe, b"released\n")
        for path in self.folder.glob("*.running"):
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
        for pipe in pipes:
            os.close(pipe)

    def wait_for_lifeline(self) -> None:
        """Wait until all preparations have ended. At least one preparation must have
        started.
        """
        ended, _, _ = select.select([self.lifeline], [], [], SECONDS)
        assert ended, "it is still being made"
        assert os.read(self.lifeline, 1) == b""

    def sessions_env(self) -> dict[str, str]:
        return {"LAKE_CI_PROVISIONING": str(self.folder)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    for group in found.groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    found.release()
    os.close(found.lifeline)
