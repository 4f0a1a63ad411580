"""The image `api` at work: it answers those who may ask, ends in good order, and is
ended where memory is short.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake_ci.checks.docker.smoke_tests import CONFINED, OFFLINE, TMPFS, Exercise, Unmet
from lake_ci.errors import LakeCiError
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import Workbench

PORT = 8080
READY_SECONDS = 60
END_SECONDS = 5
ASK_SECONDS = 0.1
TABLE = "gold.busiest_hours"
PAGE = f"/{TABLE.replace('.', '/')}"
TOKENS = "LAKEKIT_API_TOKENS"
HOLD = "testing/images"
# Python starts in it; the service, with DuckDB and Arrow, does not fit.
TOO_SMALL = "48m"
# The kernel's word that memory was short comes to the engine beside the word of the
# end, and is lost where it comes second: about one time in thirty on a busy machine.
TIMES = 4


@dataclass(frozen=True)
class Token:
    """A token of the service: what a client sends, and the file of variables that the
    container is given.
    """

    secret: str
    file: Path


class OfService(Exercise):
    """A container of the API over the lake of the sample."""

    target = "api"

    def token(self, folder: Path) -> Token:
        """A token, made by the image itself. Raises Unmet."""
        options = [*CONFINED, OFFLINE, TMPFS]
        made = self.engine.run(
            self.image, "token", "--name=exercise", "--tables=*", options=options
        )
        _, _, secret = made.stderr.partition("shown this once: ")
        if made.code != 0 or not secret:
            raise Unmet(
                "token",
                f"lakekit-api token exited with {made.code}\n{made.last_lines()}",
            )
        file = folder / "tokens.env"
        file.touch(mode=0o600)
        file.write_text(f"{TOKENS}={made.stdout.strip()}\n", encoding="utf-8")
        return Token(secret.split()[0], file)

    def start(self, token: Token, bench: Workbench, *options: str) -> str:
        """Start the service, and return its container."""
        container = f"lake-ci-{self.engine.checkout}-{self.name.replace(' ', '-')}"
        lake = f"--volume={self.images.outside.lake(bench)}:/lake:ro"
        # All but --rm: what it ended with is asked for afterwards.
        named = [
            "run",
            "--detach",
            f"--name={container}",
            *self.engine.labelled,
            *CONFINED,
            TMPFS,
            lake,
        ]
        self.ask(
            *named,
            f"--env-file={token.file}",
            *options,
            self.image,
            "serve",
            "--lake=/lake",
        )
        return container

    def ask(self, *arguments: str) -> str:
        """What the engine answers. Raises LakeCiError."""
        done = self.engine.docker(*arguments)
        if done.code != 0:
            raise LakeCiError(f"docker {arguments[0]}: {done.last_lines(2)}")
        return done.stdout.strip()

    def ended(self, container: str, seconds: float) -> tuple[str, str] | None:
        """Exit code and `true` where the kernel ended it for its memory; None where it
        still runs after so long.
        """
        form = "--format={{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}"
        answer: list[str] = []

        def over() -> bool:
            answer[:] = self.ask("inspect", form, container).split()
            return answer[0] == "false"

        return (answer[1], answer[2]) if until(over, seconds) else None


class Api(OfService):
    """api: healthy and ready, answers with the table and only to its token, and on
    SIGTERM ends in good order.
    """

    name = "api"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        wanted = self.images.outside.rows(TABLE, bench)
        token, hold = self.token(folder), folder / "hold"
        hold.mkdir()
        hold.chmod(0o777)  # the image's user is none of this machine
        (hold / "sitecustomize.py").write_bytes(
            (bench.root / HOLD / "sitecustomize.py").read_bytes()
        )
        options = [
            f"--volume={hold}:/hold",
            "--env=PYTHONPATH=/hold",
            f"--publish=127.0.0.1::{PORT}",
        ]
        container = self.start(token, bench, *options)
        url = f"http://{self.ask('port', container, str(PORT)).splitlines()[0]}"
        if not until(lambda: get(f"{url}/readyz")[0] == 200, READY_SECONDS):
            said = self.engine.docker("logs", container).last_lines()
            raise Unmet("readyz", f"it is not ready\n{said}")
        for path, status in (("/healthz", 200), (PAGE, 401)):
            answer, _ = get(url + path)
            if answer != status:
                raise Unmet(
                    path, f"{path} without a token answers {answer}, not {status}"
                )
        health = json.loads(
            self.ask("inspect", "--format={{json .Config.Healthcheck.Test}}", container)
        )
        checked = self.engine.docker("exec", container, *health[1:])
        if checked.code != 0:
            raise Unmet(
                "health",
                f"its HEALTHCHECK exits with {checked.code}\n{checked.last_lines()}",
            )
        answer, page = get(f"{url}{PAGE}?limit=1000", token.secret)
        if answer != 200 or sorted(map(repr, page["rows"])) != sorted(
            map(repr, wanted)
        ):
            raise Unmet(
                "rows", f"{PAGE} answers {answer} with other rows than {TABLE} holds"
            )
        said = self._end(container, f"{url}{PAGE}?limit=999", token.secret, hold)
        return Outcome(
            Status.SUCCESS,
            f"{len(wanted)} rows as in the table, 401 without a token; {said}",
        )

    def _end(self, container: str, url: str, token: str, hold: Path) -> str:
        """End it with a request in hand. Raises Unmet."""
        answer: Future[int] = Future()
        (hold / "armed").touch()
        threading.Thread(
            target=lambda: answer.set_result(get(url, token)[0]), daemon=True
        ).start()
        if not until((hold / "held").exists, READY_SECONDS):
            raise Unmet("request", "a request was not taken in hand")
        self.ask("kill", "--signal=TERM", container)
        begun = time.monotonic()
        (hold / "armed").unlink()
        end = self.ended(container, END_SECONDS)
        if end is None:
            raise Unmet("sigterm", f"it still runs {END_SECONDS} s after SIGTERM")
        seconds = time.monotonic() - begun
        if end[0] != "0":
            raise Unmet("sigterm", f"on SIGTERM it ends with {end[0]}, not with 0")
        if answer.result(END_SECONDS) != 200:
            raise Unmet(
                "in-flight",
                f"the request in hand at SIGTERM got {answer.result() or 'no answer'}",
            )
        return f"SIGTERM: exit 0 after {seconds:.1f} s, the request in hand answered"


class MemoryLimit(OfService):
    """memory limit: in too little memory, api is ended by the limit, and by nothing
    else.
    """

    name = "memory limit"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        token = self.token(folder)
        if not any(self._ended_by_limit(token, bench) for _ in range(TIMES)):
            raise Unmet(
                "memory",
                f"in {TOO_SMALL} it was killed, {TIMES} times, and never by the limit",
            )
        return Outcome(
            Status.SUCCESS, f"in {TOO_SMALL} the kernel ended it: OOMKilled, exit 137"
        )

    def _ended_by_limit(self, token: Token, bench: Workbench) -> bool:
        """Start it and see it killed: by the limit, as far as the engine knows. Raises
        Unmet.
        """
        limits = [f"--memory={TOO_SMALL}", f"--memory-swap={TOO_SMALL}", OFFLINE]
        container = self.start(token, bench, *limits)
        end = self.ended(container, READY_SECONDS)
        if end is None:
            raise Unmet("memory", f"it runs in {TOO_SMALL} of memory")
        code, by_limit = end
        if code != "137":
            last = self.engine.docker("logs", container).last_lines(3)
            raise Unmet(
                "memory",
                f"in {TOO_SMALL} it ended with {code}, and not by the limit\n{last}",
            )
        self.ask("rm", container)
        return by_limit == "true"


def get(url: str, token: str | None = None) -> tuple[int, Any]:
    """The status of an answer, and its JSON; 0 for none."""
    request = urllib.request.Request(
        url, headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, ValueError):
        return 0, None


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Ask again until it is true, or for so long."""
    deadline, wait = time.monotonic() + seconds, threading.Event()
    while not true():
        if time.monotonic() >= deadline:
            return False
        wait.wait(ASK_SECONDS)
    return True
