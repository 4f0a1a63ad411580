"""Runs databricks-cli 0.18 as a process.

`DatabricksCli` parses the JSON output of the CLI, converts its errors to
WorkspaceError, and passes the token only through the environment of the process.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lake_ci.deploy.errors import WorkspaceError
from lake_ci.system.redaction import Redactor

# No name server can resolve this host, so the CLI sends each request to its proxy. The
# address of the proxy is the address of the workspace.
BEHIND_PROXY = "http://workspace.invalid"
# Error codes whose cause is temporary: the command may be retried.
PASSING = (
    "REQUEST_LIMIT_EXCEEDED",
    "TEMPORARILY_UNAVAILABLE",
    "INTERNAL_ERROR",
    "DEADLINE_EXCEEDED",
    "ABORTED",
)
JOBS = ("--version", "2.1")


class DatabricksCli:
    """The command `databricks` of this Python environment, used for one workspace.

    Args:
        program: the command's path.
        host: the workspace's URL. A URL with a port is used as a proxy, because the CLI
            drops ports.
        token: a bearer token, passed through the environment of the command.
        env: the environment that the command inherits.
        seconds: the time limit of one command. The CLI itself has no time limit.
    """

    def __init__(
        self,
        program: Path,
        host: str,
        token: str,
        env: Mapping[str, str],
        *,
        seconds: float = 60.0,
    ) -> None:
        self._program = str(program)
        self._seconds = seconds
        inherited = {
            name: value
            for name, value in env.items()
            if not name.startswith("DATABRICKS_")
        }
        self._env = inherited | {
            "DATABRICKS_HOST": host,
            "DATABRICKS_TOKEN": token,
            "DATABRICKS_CONFIG_FILE": os.devnull,
            # Without this variable, the CLI would run a newer `databricks` on PATH.
            "DATABRICKS_CLI_DO_NOT_EXECUTE_NEWER_VERSION": "1",
        }
        address = urlsplit(host)
        # Redact error texts before they are shortened: a part of the token would not be
        # recognized.
        self._redact = Redactor.of(self._env)
        if address.scheme == "http" and address.port is not None:
            self._env |= {
                "DATABRICKS_HOST": BEHIND_PROXY,
                "http_proxy": host,
                "no_proxy": "",
                "NO_PROXY": "",
            }

    def json(self, *arguments: str) -> Any:
        """Run a command, and return the JSON that it prints.

        Raises WorkspaceError if the command fails or prints no JSON.
        """
        text = self.text(*arguments)
        try:
            return json.loads(text)
        except ValueError:
            printed = self._redact(text).strip()[-300:] or "nothing"
            raise WorkspaceError(
                f"{_name(arguments)} printed no JSON: {printed}", retryable=True
            ) from None

    def text(self, *arguments: str) -> str:
        """Run a command, and return its output.

        Raises WorkspaceError if the command does not start, fails, or exceeds the time
        limit.
        """
        try:
            done = subprocess.run(
                [self._program, *arguments],
                env=self._env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self._seconds,
                check=False,
            )
        except OSError as error:
            raise WorkspaceError(
                f"{self._program} could not be started: {error.strerror}",
                "run `nox -s deploy`",
            ) from None
        except subprocess.TimeoutExpired:
            raise WorkspaceError(
                f"{_name(arguments)} had no answer within {self._seconds:g} s",
                retryable=True,
            ) from None
        if done.returncode != 0:
            raise failed(arguments, self._redact(done.stdout + done.stderr))
        return done.stdout


def failed(arguments: Sequence[str], output: str) -> WorkspaceError:
    """Return the WorkspaceError that describes the output of a failed command."""
    text = output.strip()
    match = re.search(r"^Error: (b['\"].*['\"])$", text, re.MULTILINE | re.DOTALL)
    if match:
        try:
            body = json.loads(ast.literal_eval(match[1]))
            code, message = str(body["error_code"]), str(body["message"])
        except (ValueError, SyntaxError, KeyError, TypeError):
            # An answer that is not JSON comes from a proxy, or was truncated.
            return WorkspaceError(
                f"{_name(arguments)}: {match[1][:300]}", retryable=True
            )
        return WorkspaceError(
            f"{_name(arguments)}: {code}: {message}",
            code=code,
            retryable=code in PASSING,
        )
    if "authentication information" in text or "Authorization failed" in text:
        hint = "the workspace rejected the credentials, which may have expired"
        return WorkspaceError(f"{_name(arguments)}: {hint}", code="UNAUTHENTICATED")
    retryable = bool(
        re.search(
            r"Connection|Timeout|ChunkedEncoding|IncompleteRead|JSONDecode"
            r"|RemoteDisconnected",
            text,
        )
    )
    return WorkspaceError(f"{_name(arguments)}: {text[-300:]}", retryable=retryable)


def _name(arguments: Sequence[str]) -> str:
    """Return the command without its options: `databricks clusters restart`."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return " ".join(["databricks", *words])
