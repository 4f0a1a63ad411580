"""The images at work: each does what it is for, on the sample, as narrowly confined as in production."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lake_ci.errors import LakeCiError
from lake_ci.processes import Completed
from lake_ci.results import Finding, Outcome, Status
from lake_ci.tools.contents import stage_line
from lake_ci.tools.images import DOCKERFILE, WORK, Images
from lake_ci.tools.tool import Tool, Workbench, crashed, stopped

SAMPLE = "testing/data"
# A read-only root and one file system in memory for /tmp, no right beyond a plain user's: as the manifests have it.
CONFINED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
OFFLINE = "--network=none"
# Spark unpacks native libraries there and runs them.
TMPFS = "--tmpfs=/tmp:rw,exec,nosuid,size=1g"
STRANGER = "12345:12345"
PORT = 8080
READY_SECONDS = 60
END_SECONDS = 5
ASK_SECONDS = 0.2
# A tenth of a second of work then takes some seconds: time enough to be sure that a request is in hand.
SLOW, FAST = "0.02", "2"
# Python starts in it; the service, with DuckDB and Arrow, does not fit.
TOO_SMALL = "48m"
TABLE = "gold.busiest_hours"


class Exercise(Tool):
    """A container of one image, put to work."""

    target = ""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.engine = images.engine

    def run(self, bench: Workbench) -> Outcome:
        if self.target not in self.images.ids:
            return Outcome(Status.SKIPPED, f"{self.target} was not built")
        work = bench.root / WORK
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="exercise-", dir=work, ignore_cleanup_errors=True) as folder:
            try:
                return self.exercise(Path(folder), bench)
            except Unmet as unmet:
                line = stage_line(bench, self.target)
                finding = Finding(self.name, unmet.rule, f"{self.target}: {unmet}", DOCKERFILE, line)
                return Outcome(Status.FAILURE, str(unmet).splitlines()[0], (finding,))

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        """Put it to work. Raises Unmet for what it does not do."""
        raise NotImplementedError

    @property
    def image(self) -> str:
        return self.images.name(self.target)


class Unmet(Exception):
    """An image does not do what it is for."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Dev(Exercise):
    """dev: `nox -l` and a module of unit tests, in a mounted checkout, as a user that the image does not know."""

    name = target = "dev"
    module = "testing/unit/lakekit/test_tables.py"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        options = [OFFLINE, "--cap-drop=ALL", f"--user={STRANGER}", "--tmpfs=/tmp:rw,exec", f"--volume={bench.root}:/work:ro"]
        listed = self.engine.run(self.image, "nox", "-l", options=options)
        if listed.code != 0 or "* pipeline" not in listed.stdout:
            raise Unmet("nox", f"`nox -l` exited with {listed.code}\n{listed.last_lines()}")
        test = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", self.module]
        tested = self.engine.run(self.image, *test, options=options)
        if tested.code != 0 or " passed" not in tested.stdout:
            raise Unmet("tests", f"{self.module} exited with {tested.code}\n{tested.last_lines()}")
        return Outcome(Status.SUCCESS, f"nox -l; {tested.stdout.strip().splitlines()[-1].strip('= ')}")


class Batch(Exercise):
    """A run of the lake on the sample, and its rows against those of a run outside."""

    engine_name = "embedded"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        volume, begun = self.engine.volume(self.target), time.monotonic()
        container = volume  # one name tells them apart as well
        options = [*CONFINED, OFFLINE, TMPFS, f"--volume={bench.root / SAMPLE}:/source:ro", f"--volume={volume}:/lake"]
        command = ["run", "--engine", self.engine_name, "--source", "/source", "--lake", "/lake", "--json"]
        named = ["run", f"--name={container}", *self.engine.labelled, *options, self.image, *command]
        ran = self.engine.docker(*named)
        if ran.code != 0:
            cut = stopped(self.name, ran)
            if cut is not None:
                return cut
            raise Unmet("run", f"lakekit run exited with {ran.code}\n{ran.last_lines()}")
        seconds = time.monotonic() - begun
        lake = folder / "inside"
        copied = self.engine.docker("cp", f"{container}:/lake/.", str(lake))
        if copied.code != 0:
            return stopped(self.name, copied) or crashed(self.name, copied)
        diff = lakekit(bench, "diff", str(outside_lake(folder, bench)), str(lake), "--json")
        if diff.code not in (0, 1) or not diff.stdout:
            return stopped(self.name, diff) or crashed(self.name, diff)
        if diff.code == 1:
            raise Unmet("rows", f"its rows are not those of a run outside: {different(json.loads(diff.stdout))}")
        rows = sum(table["rows"] for table in json.loads(ran.stdout)["tables"])
        return Outcome(Status.SUCCESS, f"{rows:,} rows in {seconds:.0f} s, as outside", data={"rows": rows})


class Prod(Batch):
    """prod: a run on DuckDB with a read-only root, no rights and no network gives the rows of a run outside."""

    name = target = "prod"


class Processor(Batch):
    """processor: a run on Spark with a read-only root, no rights and no network gives the rows of a run on DuckDB."""

    name = target = "processor"
    engine_name = "spark"


class Api(Exercise):
    """api: healthy and ready, answers with the table and only to its token, and on SIGTERM ends in good order."""

    name = target = "api"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        outside = outside_lake(folder, bench)
        wanted = json.loads(lakekit(bench, "show", TABLE, "--lake", str(outside), "--limit=1000", "--json").stdout)
        with service(self, outside, folder, bench) as (container, url, token):
            for path, status in (("/healthz", 200), ("/readyz", 200), (PAGE, 401)):
                answer, _ = get(url + path)
                if answer != status:
                    raise Unmet(path, f"{path} without a token answers {answer}, not {status}")
            answer, page = get(url + PAGE, token)
            if answer != 200 or not same_rows(page["rows"], wanted["rows"]):
                raise Unmet("rows", f"{PAGE} answers {answer} with other rows than {TABLE} holds")
            said = self._end(container, url, token)
        return Outcome(Status.SUCCESS, f"{len(wanted['rows'])} rows as in the table, 401 without a token; {said}")

    def _end(self, container: str, url: str, token: str) -> str:
        """End it with a request in hand."""
        answers: list[tuple[int, Any]] = []
        self._ask("update", f"--cpus={SLOW}", container)
        request = threading.Thread(target=lambda: answers.append(get(url + PAGE, token)))
        request.start()
        # The one that asks is in hand, too.
        in_hand = until(lambda: len(answers) == 1 or gauge(url) >= 2, READY_SECONDS) and not answers
        if not in_hand:
            raise Unmet("request", "no request was in hand for long enough to end the service meanwhile")
        self._ask("kill", "--signal=TERM", container)
        begun = time.monotonic()
        self._ask("update", f"--cpus={FAST}", container)
        waited = self.engine.docker("stop", f"--time={END_SECONDS}", container)
        seconds = time.monotonic() - begun
        request.join(READY_SECONDS)
        code = self._ask("inspect", "--format={{.State.ExitCode}}", container)
        if waited.code != 0 or code != "0":
            raise Unmet("sigterm", f"on SIGTERM it ends with {code} after {seconds:.1f} s, not with 0 within {END_SECONDS} s")
        if not answers or answers[0][0] != 200:
            raise Unmet("in-flight", f"the request in hand at SIGTERM got {answers[0][0] if answers else 'no answer'}")
        return f"SIGTERM: {seconds:.1f} s, exit 0, the request in hand answered"

    def _ask(self, *arguments: str) -> str:
        done = self.engine.docker(*arguments)
        if done.code != 0:
            raise LakeCiError(f"docker {arguments[0]}: {done.last_lines(2)}")
        return done.stdout.strip()


class MemoryLimit(Exercise):
    """memory limit: in too little memory, api is ended by the limit, and by nothing else."""

    name = "memory limit"
    target = "api"

    def exercise(self, folder: Path, bench: Workbench) -> Outcome:
        limit = [f"--memory={TOO_SMALL}", f"--memory-swap={TOO_SMALL}"]
        container = f"lake-ci-{self.engine.checkout}-small"
        tokens = f"--env={TOKENS}={NOBODY}"
        started = [f"--name={container}", *self.engine.labelled, *CONFINED, TMPFS, *limit, tokens]
        done = self.engine.docker("run", *started, self.image, "serve", "--lake=/lake")
        state = self.engine.docker("inspect", "--format={{.State.OOMKilled}} {{.State.ExitCode}}", container)
        if state.stdout.split() != ["true", "137"]:
            raise Unmet("memory", f"in {TOO_SMALL} it ended with {done.code}, not by the limit: {state.stdout.strip()}")
        return Outcome(Status.SUCCESS, f"in {TOO_SMALL} the engine ended it (OOMKilled, exit 137)")


TOKENS = "LAKEKIT_API_TOKENS"
PAGE = f"/{TABLE.replace('.', '/')}?limit=1000"
# The line of a token that nobody has: the service asks for one before it starts.
NOBODY = f"nobody:{'0' * 64}:*"


@contextlib.contextmanager
def service(api: Api, lake: Path, folder: Path, bench: Workbench) -> Iterator[tuple[str, str, str]]:
    """The API over a lake, as its container, its address and a token; ready when the block begins."""
    made = api.engine.run(api.image, "token", "--name=exercise", "--tables=*", options=[OFFLINE, "--read-only"])
    token = next(iter(re.findall(r"shown this once: (\S+)", made.stderr)), "")
    if made.code != 0 or not token:
        raise Unmet("token", f"lakekit-api token exited with {made.code}\n{made.last_lines()}")
    readable(lake)
    secrets = folder / "tokens.env"
    secrets.write_text(f"{TOKENS}={made.stdout.strip()}\n", encoding="utf-8")
    container = f"lake-ci-{api.engine.checkout}-api"
    options = [*CONFINED, TMPFS, f"--env-file={secrets}", f"--publish=127.0.0.1::{PORT}", f"--volume={lake}:/lake:ro"]
    named = ["run", "--detach", f"--name={container}", *api.engine.labelled, *options]
    started = api.engine.docker(*named, api.image, "serve", "--lake=/lake")
    if started.code != 0:
        raise LakeCiError(f"docker run: {started.last_lines(2)}")
    port = api.engine.docker("port", container, str(PORT)).stdout.strip().splitlines()
    url = f"http://{port[0]}" if port else ""
    if not url or not until(lambda: get(f"{url}/readyz")[0] == 200, READY_SECONDS):
        raise Unmet("readyz", f"it is not ready\n{api.engine.docker('logs', container).last_lines()}")
    yield container, url, token


def readable(folder: Path) -> None:
    """Let the image's user, who is no user here, read a folder and what is in it."""
    for path in [folder, *folder.parents[:1], *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def get(url: str, token: str = "") -> tuple[int, Any]:
    """The status of an answer, and its JSON; 0 for none."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


def gauge(url: str) -> float:
    """How many requests the service has in hand."""
    _, text = get(f"{url}/metrics")
    match = re.search(r"^lakekit_api_requests_in_hand (\S+)$", text or "", re.MULTILINE)
    return float(match[1]) if match else 0.0


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Ask again until it is true, or for so long."""
    deadline, wait = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        if true():
            return True
        wait.wait(ASK_SECONDS)
    return False


def same_rows(some: list[Any], others: list[Any]) -> bool:
    """Whether two lists hold the same rows, in whatever order."""
    return sorted(map(repr, some)) == sorted(map(repr, others))


def different(said: dict[str, Any]) -> str:
    """The tables in which two lakes differ, in a few words."""
    rows = [each for each in said["tables"] if each["differs"]]
    return "; ".join(
        f"{each['table']}: {each['only_a']} missing, {each['only_b']} more, {each['changed']} changed" for each in rows
    )


def lakekit(bench: Workbench, *arguments: str) -> Completed:
    """Run a command of the checkout's own lakekit."""
    env = {**bench.env, "PYTHONPATH": str(bench.root / "utils")}
    return bench.execute([str(bench.python), "-m", "lakekit", *arguments], env=env)


def outside_lake(folder: Path, bench: Workbench) -> Path:
    """The sample's lake, made by the checkout on this machine."""
    lake = folder / "outside"
    made = lakekit(bench, "run", "--source", SAMPLE, "--lake", str(lake))
    if made.code != 0:
        raise LakeCiError(f"lakekit run outside the image exited with {made.code}\n{made.last_lines()}")
    return lake


EXERCISES = (Dev, Prod, Api, MemoryLimit, Processor)
