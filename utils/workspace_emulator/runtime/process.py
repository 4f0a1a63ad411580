"""Runs a task as a process in its cluster's environment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environment import Environment

RUNNER = Path(__file__).resolve().parents[1] / "inside" / "run_task.py"
Ask = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class ProcessResult:
    """The result of a process.

    Attributes:
        code: the exit code. The exit code is negative if a signal ended the process.
        error: the exception as one line. `error` is empty if the process succeeded.
        trace: the exception's traceback.
    """

    code: int
    error: str = ""
    trace: str = ""


class TaskProcess:
    """The process of one attempt of a task. `folder` contains the settings, the log and
    the result of the process.
    """

    def __init__(self, folder: Path, environment: Environment, ask_spark: Ask) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self._environment = environment
        self._ask_spark = ask_spark
        self._process: asyncio.subprocess.Process | None = None

    async def run(
        self, task: Mapping[str, Any], variables: Mapping[str, str]
    ) -> ProcessResult:
        """Run the process and wait until it ends. If this call is canceled, the process
        and its children are killed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        here, there = socket.socketpair()
        with here, there:
            settings = {
                **task,
                "result": str(self.folder / "result.json"),
                "control": there.fileno(),
            }
            (self.folder / "task.json").write_text(
                json.dumps(settings), encoding="utf-8"
            )
            with self.log.open("wb") as log:
                self._process = process = await asyncio.create_subprocess_exec(
                    str(self._environment.python),
                    "-P",  # the task must not import modules from this script's folder
                    str(RUNNER),
                    str(self.folder / "task.json"),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=self.folder,
                    env={**self._variables(), **variables},
                    pass_fds=[there.fileno()],
                    start_new_session=True,
                )
            there.close()
            listening = asyncio.ensure_future(self._answer(here))
            try:
                code = await process.wait()
            finally:
                self.kill()
                await process.wait()
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        return self._ended(code)

    def kill(self) -> None:
        """Kill the process and its children."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all processes have ended

    def _variables(self) -> dict[str, str]:
        """Return the environment variables of the task. The emulator's own variables
        are not passed on, because they may contain a token.
        """
        return {
            "PATH": f"{self._environment.folder / 'bin'}{os.pathsep}{os.defpath}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            "JAVA_HOME": str(self._environment.java_home),
            "PYSPARK_PYTHON": str(self._environment.python),
            "SPARK_LOCAL_HOSTNAME": "localhost",
        }

    async def _answer(self, control: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=control)
        try:
            while await reader.readline():
                writer.write(json.dumps(await self._ask_spark()).encode() + b"\n")
                await writer.drain()
        finally:
            writer.close()

    def _ended(self, code: int) -> ProcessResult:
        try:
            result = json.loads(
                (self.folder / "result.json").read_text(encoding="utf-8")
            )
        except FileNotFoundError:
            return ProcessResult(
                code, f"The Python process exited with code {code}" if code else ""
            )
        return ProcessResult(code, result["error"], result["error_trace"])
