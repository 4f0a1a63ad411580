"""Starts the API in a container, sends requests, and waits for the container's end."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from testing.images.containers import (
    CONFINED,
    OFFLINE,
    TMPFS,
    Engine,
    reason,
    until,
)

PORT = 8080
READY_SECONDS = 60
TOKENS = "LAKEKIT_API_TOKENS"


@dataclass(frozen=True)
class Token:
    """A token of the service.

    Attributes:
        secret: the value that a client sends.
        file: the file that contains the container's environment variables.
    """

    secret: str = field(repr=False)
    file: Path


@dataclass(frozen=True)
class End:
    """How a container ended.

    Attributes:
        code: its exit code.
        by_limit: whether the engine reports that the kernel killed the container
            because it used too much memory.
        logs: the last lines of its output, in reverse order.
    """

    code: int
    by_limit: bool
    logs: str = ""


@dataclass(frozen=True)
class Service:
    """Starts containers of the API that serve one lake."""

    engine: Engine
    lake: Path
    token: Token

    def start(self, *options: str) -> str:
        """Start a container; return its id."""
        __tracebackhide__ = True
        # Do not use --rm: the exit code is read after the end of the container.
        start = ("run", "--detach", *self.engine.labels, *CONFINED, TMPFS)
        lake = f"--volume={self.lake}:/lake:ro"
        env = f"--env-file={self.token.file}"
        serve = (self.engine.image, "serve", "--lake=/lake")
        return self.engine.answer(*start, lake, env, *options, *serve)

    def url(self, container: str) -> str:
        """Return the URL of a container that publishes its port."""
        __tracebackhide__ = True
        port = self.engine.answer("port", container, str(PORT))
        return f"http://{port.splitlines()[0]}"

    def logs(self, container: str) -> str:
        """Return the last lines of a container's output, in reverse order."""
        __tracebackhide__ = True
        done = self.engine.ask("logs", "--tail=10", container)
        return "\n".join(reversed((done.stdout + done.stderr).splitlines()))

    def end(self, container: str, seconds: float) -> End | None:
        """Return the end of the container, or None if the container is still running
        after the time limit.
        """
        __tracebackhide__ = True
        form = "--format={{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}"
        state: list[str] = []

        def ended() -> bool:
            state[:] = self.engine.answer("inspect", form, container).split()
            return state[0] == "false"

        if not until(ended, seconds):
            return None
        return End(int(state[1]), state[2] == "true", self.logs(container))


def make_token(engine: Engine, folder: Path) -> Token:
    """Let the image create a token, and return the token."""
    __tracebackhide__ = True
    options = (*CONFINED, OFFLINE, TMPFS)
    made = engine.run("token", "--name=exercise", "--tables=*", options=options)
    secret = re.search(r"lkt_\S+", made.stderr)
    if made.returncode != 0 or secret is None:
        pytest.fail(reason("lakekit-api token", made))
    file = folder / "tokens.env"
    file.touch(mode=0o600)
    file.write_text(f"{TOKENS}={made.stdout.strip()}\n", encoding="utf-8")
    return Token(secret[0], file)


def decisive(ends: Iterable[End | None]) -> End | None:
    """Return the first end whose reason is known. If the engine lost the reason of
    every end, return the last end.
    """
    end = None
    for end in ends:
        if end is None or end.code != 137 or end.by_limit:
            break
    return end


def get(url: str, token: str | None = None) -> tuple[int, Any]:
    """Return the status and the JSON of a response. The status is 0 if there is no
    response.
    """
    request = urllib.request.Request(
        url, headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except (OSError, ValueError):
        return 0, None
