"""Installs the packages of a lock file into the Python environment of a session.

nox creates the environment. Packages are installed again only if the lock changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lake_ci.errors import NoEnvironmentError, UsageError, nearest
from lake_ci.system import git
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

STAMP = ".lake-ci-lock"
# The variables for users; the README describes them.
VARIABLES = (
    "LAKE_CI_ADVISORIES",
    "LAKE_CI_CACHE",
    "LAKE_CI_CHROMIUM",
    "LAKE_CI_IVY_SETTINGS",
    "LAKE_CI_JAVA11",
    "LAKE_CI_JAVA17",
    "LAKE_CI_PROVISIONING",
    "LAKE_CI_STORE",
    "LAKE_CI_STRICT",
)
# The variables that the suite sets for its own processes, tests and benchmarks.
INTERNAL = (
    "LAKE_CI_AFFECTED",
    "LAKE_CI_ENGINE",
    "LAKE_CI_EVENT",
    "LAKE_CI_IMAGE",
    "LAKE_CI_JARS",
    "LAKE_CI_JAVA",
    "LAKE_CI_LABEL",
    "LAKE_CI_LIST",
    "LAKE_CI_PIP_CONF",
    "LAKE_CI_PLAN",
    "LAKE_CI_RENDERED",
    "LAKE_CI_ROUNDS",
    "LAKE_CI_RUN",
    "LAKE_CI_SCRATCH",
    "LAKE_CI_SIDE",
    "LAKE_CI_TURNS",
)
# Variables that nox and the suite pass between their own processes. Tools must not get
# these variables, especially not a tool that runs nox.
PRIVATE = re.compile(
    r"LAKE_CI_(PLAN|RUN|EVENT|CACHE|STORE|PROVISIONING)|NOX.*|VIRTUAL_ENV"
    r"|CONDA_PREFIX|UV_PYTHON|UV_PROJECT_ENVIRONMENT"
)
# Variables that contain a developer's own options for tools, such as
# `PYTEST_ADDOPTS="-k fine"`. With these options, a check could skip a part of its work
# but report a full result.
OPTIONS = re.compile(
    r"PYTEST_(ADDOPTS|PLUGINS|DISABLE_PLUGIN_AUTOLOAD)|(COVERAGE|COV_CORE)_.*|MYPYPATH"
    r"|(BANDIT|FLAKE8|HADOLINT|ISORT|SEMGREP|YAMLLINT|ZIZMOR)_.*|BLACK_(?!CACHE_DIR).*"
    r"|CHECKOV_.*|CKV_.*|DOCKER_DEFAULT_PLATFORM|PYTHON(OPTIMIZE|PATH|WARNINGS)"
    r"|TF_CLI_ARGS.*|PIP_(CONSTRAINT|NO_DEPS|PRE)|UV_(CONSTRAINT|EXCLUDE_NEWER"
    r"|NO_(BINARY|BUILD).*|OVERRIDE|PRERELEASE|RESOLUTION)|" + git.VARIABLES.pattern
)
UNREACHABLE = re.compile(
    r"dns error|error sending request|Connection (?:refused|reset)|timed out|failed to"
    r" fetch|network was disabled",
    re.I,
)


@dataclass(frozen=True)
class Environment:
    """The Python environment of a session, and nox's options for the environment.

    Attributes:
        folder: the environment's folder; it contains `bin/python`.
        may_install: false if nox got `-R` or `--no-install` and the environment already
            existed.
        install_only: true if nox got `--install-only`: no check runs.
        own: whether nox created the environment for this session. If nox did not create
            it, the session uses the suite's own interpreter.
    """

    folder: Path
    may_install: bool = True
    install_only: bool = False
    own: bool = True

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def python_version(self) -> str | None:
        """The Python version in the environment's configuration file."""
        try:
            text = (self.folder / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            return None
        match = re.search(r"^version(?:_info)? = (\d+\.\d+\.\d+)", text, re.MULTILINE)
        return match[1] if match else None

    def variables(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables for tools that run in this environment."""
        variables = {
            name: value
            for name, value in env.items()
            if not PRIVATE.fullmatch(name) and not OPTIONS.fullmatch(name)
        }
        variables["PATH"] = os.pathsep.join(
            [str(self.folder / "bin"), env.get("PATH", os.defpath)]
        )
        variables["VIRTUAL_ENV"] = str(self.folder)
        # By default, uv trusts only its own list of certificates, and this list does
        # not contain the certificate of a company's proxy.
        variables.setdefault("UV_SYSTEM_CERTS", "1")
        variables.setdefault("PYTHONUNBUFFERED", "1")
        return variables

    def install(
        self, root: Path, purpose: str, execute: Callable[..., Completed]
    ) -> bool:
        """Install exactly the packages that `requirements/<purpose>.txt` locks.

        Returns whether a package was installed or removed.

        Raises:
            NoEnvironmentError: the lock does not exist, or uv could not install it; the
                message contains uv's output.
        """
        if not self.may_install:
            return False
        lock = f"requirements/{purpose}.txt"
        try:
            digest = hashlib.sha256((root / lock).read_bytes()).hexdigest()
        except FileNotFoundError:
            raise NoEnvironmentError(
                f"{lock} is missing", hint="run `nox -s lock`"
            ) from None
        stamp = self.folder / STAMP
        if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
            return False
        stamp.unlink(missing_ok=True)
        command = [
            uv_program() or "uv",
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--python",
            str(self.python),
            lock,
        ]
        done = execute(command)
        if done.stopped is not None or done.code != 0:
            raise NoEnvironmentError(
                f"{lock} could not be installed\n{done.last_lines()}", hint=_hint(done)
            )
        write_whole(stamp, digest)
        return True


def check_variables(env: Mapping[str, str]) -> None:
    """Raise UsageError for an unknown `LAKE_CI_*` variable or a wrong LAKE_CI_STRICT.

    Without this check, a misspelled variable would be ignored without a message.

    Raises:
        UsageError: a variable or a value is wrong; the hint contains a similar
            variable's name.
    """
    for name in sorted(env):
        if name.startswith("LAKE_CI_") and name not in (*VARIABLES, *INTERNAL):
            raise UsageError(f"unknown variable {name}{nearest(name, VARIABLES)}")
    strict = env.get("LAKE_CI_STRICT", "")
    if strict not in ("", "0", "1"):
        raise UsageError(f"LAKE_CI_STRICT={strict!r}; the values are 0 and 1")


def uv_program() -> str | None:
    """Return the path of uv: the uv installed with nox, or else the uv on PATH.

    The result is None if neither exists.
    """
    try:
        import uv
    except ImportError:
        return shutil.which("uv")
    return str(uv.find_uv_bin())


def _hint(done: Completed) -> str | None:
    if done.code == 127:
        return "uv is missing; run `python -m pip install 'nox[uv]'`"
    if done.stopped == "timeout":
        return "the job's time limit was reached"
    if UNREACHABLE.search(done.stderr):
        return (
            "the package index is unreachable and these packages are not cached;"
            " connect to the network once"
        )
    return None
