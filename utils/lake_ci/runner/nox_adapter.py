"""All that is read of nox's private parts, and of its words; the noxfile pins the
version that they belong to.
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

# `_option_set` is the one place that knows how nox's options become arguments again.
from nox import _option_set, _options, sessions

from lake_ci.errors import UsageError
from lake_ci.system.environment import Environment

MISSING = re.compile(r"Python interpreter (\S+) not found")
FAILED_NEED = re.compile(r"Prerequisite session (.+) was not successful")


def configuration(session: nox.Session) -> Any:
    """nox's own options of a run, as it shows them to no session."""
    return session._runner.global_config


def environment(session: nox.Session) -> Environment:
    """The environment that nox made for a session."""
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
    """Where nox keeps, or would keep, the environment of a session by that name."""
    return Path(root, sessions._normalize_path(str(config.envdir), session))


def command(
    config: Any, sessions: Sequence[str], report: Path, parallel: int
) -> list[str]:
    """The command of an inner nox: the options of the outer one, for these sessions, so
    many at once.
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
    """Return how many sessions run at once: `-j`, also before `--`, else one per CPU.

    Raises:
        UsageError: `parallel` is not a number.
    """
    outer = getattr(config, "parallel", None)
    chosen = parallel or ("auto" if outer in (None, 1) else outer)
    try:
        return _options.parse_parallel(chosen)
    except ValueError as error:
        raise UsageError(f"-j: {error}") from None


def read_report(path: Path) -> dict[str, Mapping[str, Any]]:
    """Read nox's report: each session's entry by its full name; empty without one."""
    try:
        sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError, KeyError):
        return {}
    return {signature: entry for entry in sessions for signature in entry["signatures"]}


def missing_interpreter(entry: Mapping[str, Any]) -> str | None:
    """The missing Python version because of which nox did not run a session, if any."""
    found = MISSING.search(str(entry.get("reason") or ""))
    return found[1] if found else None


def failed_need(entry: Mapping[str, Any]) -> str | None:
    """The failed need because of which nox did not run a session, if any."""
    found = FAILED_NEED.fullmatch(str(entry.get("reason") or ""))
    return found[1] if found and entry["result"] == "aborted" else None
