"""Reads nox's private attributes and messages, which no other module may read.

The noxfile pins the version of nox, because a new version may change these attributes
and messages.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nox

# Only the private module `_option_set` can convert nox's options to arguments.
from nox import _option_set, _options, sessions

from lake_ci.errors import UsageError
from lake_ci.system.environment import Environment

MISSING = re.compile(r"Python interpreter (\S+) not found")
FAILED_NEED = re.compile(r"Prerequisite session (.+) was not successful")


def configuration(session: nox.Session) -> Any:
    """Return nox's own options; nox has no public function for this."""
    return session._runner.global_config


def environment(session: nox.Session) -> Environment:
    """Return the environment that nox created for a session."""
    config = configuration(session)
    folder = getattr(session.virtualenv, "location", None)
    if folder is None:
        return Environment(
            Path(sys.prefix),
            may_install=False,
            install_only=config.install_only,
            own=False,
        )
    return Environment(
        Path(folder),
        may_install=not (config.no_install and session.virtualenv._reused),
        install_only=config.install_only,
    )


def environment_folder(root: Path, config: Any, session: str) -> Path:
    """Return the folder of a session's environment; the folder may not exist yet."""
    return Path(root, sessions._normalize_path(str(config.envdir), session))


def command(
    config: Any, sessions: Sequence[str], report: Path, parallel: int
) -> list[str]:
    """Return the command that runs these sessions in a second nox process.

    The second nox gets the options of this nox, and runs `parallel` sessions at once.
    """
    inner = copy.deepcopy(config)
    overrides = {
        "sessions": list(sessions),
        "keywords": None,
        "tags": None,
        "posargs": [],
        "report": str(report),
        "parallel": parallel,
    }
    for name, value in overrides.items():
        inner.set_value(name, value, _option_set.Source.COMMAND_LINE)
    return [sys.executable, "-m", "nox", *_option_set.to_argv(inner)]


def workers(config: Any, parallel: str | None) -> int:
    """Return how many sessions run at once: by default, one session for each CPU.

    The option `-j` sets a different number.

    Raises:
        UsageError: the value of `-j` is not a number.
    """
    outer = getattr(config, "parallel", None)
    chosen = parallel or ("auto" if outer in (None, 1) else outer)
    try:
        return _options.parse_parallel(chosen)
    except ValueError as error:
        raise UsageError(f"-j: {error}") from None


def read_report(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the entries of nox's report by session; empty if there is no report."""
    try:
        sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError, KeyError):
        return {}
    return {signature: entry for entry in sessions for signature in entry["signatures"]}


def missing_interpreter(entry: Mapping[str, Any]) -> str | None:
    """Return the Python version that nox did not find for a session, or None."""
    found = MISSING.search(str(entry.get("reason") or ""))
    return found[1] if found else None


def failed_need(entry: Mapping[str, Any]) -> str | None:
    """Return the failed session that made nox skip a session, or None."""
    found = FAILED_NEED.fullmatch(str(entry.get("reason") or ""))
    return found[1] if found and entry["result"] == "aborted" else None
