"""Starts an emulator as a separate process, for tests and for trial deploys."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .__main__ import JARS, VARIABLE

PACKAGES = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 60
# Prefixes of variables that clients must not inherit, because the SDK raises an error
# if two authentication methods are configured.
FOREIGN = ("DATABRICKS_", "ARM_", "GOOGLE_")


class LaunchError(Exception):
    """The emulator did not start. The message is the output of the emulator."""


class Emulator:
    """An emulator that runs during a `with` block. The folder `state` is not removed.

    Attributes:
        url: the URL of the workspace.
        token: a valid token.
    """

    def __init__(
        self,
        state: Path,
        *,
        jars: Path | None = None,
        token: str = "",
        port: int = 0,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.state = state
        self.token = token.strip() or f"dapi{secrets.token_hex(16)}"
        self.url = ""
        self._jars = jars
        self._port = port
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the emulator and wait until it is ready. Raises LaunchError if the
        emulator does not start in time.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "workspace_emulator",
            "--state",
            str(self.state),
        ]
        command += ["--port", str(self._port)]
        env = {**os.environ, "PYTHONPATH": str(PACKAGES), VARIABLE: self.token}
        if self._jars is not None:
            env[JARS] = str(self._jars)
        log = self.state / "emulator.log"
        appended = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(appended, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
                text=True,
            )
        assert self._process.stdout is not None
        # readline() has no timeout, but it returns when the process is killed.
        limit = threading.Timer(self._start_seconds, self._process.kill)
        limit.start()
        self.url = self._process.stdout.readline().strip()
        limit.cancel()
        if not self.url:
            self.stop()
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            late = f"the emulator did not start within {self._start_seconds:g} s"
            raise LaunchError(text or late)

    def stop(self) -> int:
        """Stop the emulator and return its exit code."""
        process = self._process
        if process is None:
            return 0
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            process.stdin.close()
            try:
                return process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()
            finally:
                self._process = None

    def kill(self) -> None:
        """Kill the emulator, as in a crash."""
        assert self._process is not None
        self._process.kill()
        self.stop()

    def sdk_environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment variables that databricks-sdk needs."""
        inherited = {
            name: value for name, value in base.items() if not name.startswith(FOREIGN)
        }
        return {
            **inherited,
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_TOKEN": self.token,
        }

    def cli_environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment variables that databricks-cli 0.18 needs.
        The emulator is configured as a proxy, because databricks-cli ignores the port
        in DATABRICKS_HOST.
        """
        proxy = {
            "http_proxy": self.url,
            "HTTP_PROXY": self.url,
            "no_proxy": "",
            "NO_PROXY": "",
        }
        own = {
            "DATABRICKS_HOST": "http://emulator.invalid",
            "DATABRICKS_CLI_DO_NOT_EXECUTE_NEWER_VERSION": "1",
            "DATABRICKS_JOBS_API_VERSION": "2.1",
        }
        return {**self.sdk_environment(base), **proxy, **own}

    def admin(self, method: str, path: str, /, **fields: Any) -> dict[str, Any]:
        """Call an admin route, for example `admin("POST", "faults", kind="drop",
        path="*/clusters/*")`.
        """
        request = urllib.request.Request(
            f"{self.url}/emulator/{path}",
            method=method,
            data=json.dumps(fields).encode() if fields else None,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the recorded requests whose number is greater than `since`."""
        found: list[dict[str, Any]] = self.admin("GET", f"requests?since={since}")[
            "requests"
        ]
        return found
