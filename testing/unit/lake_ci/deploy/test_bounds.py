"""Every method that sends requests to a workspace always ends, because attempts, pages
and time are limited. The tests find the methods by introspection, so that new methods
are tested, too.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config

import lake_ci.deploy
from lake_ci.deploy.bundle import Target
from lake_ci.deploy.cli import DatabricksCli
from lake_ci.deploy.client import Workspace
from lake_ci.deploy.cluster import Installation
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.events import Events
from lake_ci.deploy.ledger import DeployRun, Ledger, LedgerEntry, Pending
from lake_ci.deploy.lock import Holder, Lock
from lake_ci.deploy.release import Release
from lake_ci.deploy.retries import Clock
from lake_ci.deploy.runs import Runs
from lake_ci.deploy.sdk import SdkClock, limit_pages
from lake_ci.deploy.workspace import Databricks
from lake_ci.errors import LakeCiError
from lake_ci.model.settings import Limits

LIMITS = Limits(
    request=1, attempts=3, pause=0.1, poll=0.5, start=5, install=5, run=5, busy=5
)
PAGES = 7
# The maximum number of requests of a method that polls until its time limit.
MOST = 100
WHEEL = "/Volumes/main/shop/artifacts/shop-1.0-py3-none-any.whl"
HOLDER: dict[str, Any] = {
    "id": "other",
    "who": "somebody",
    "what": "deploys",
    "machine": "another",
    "process": 1,
    "born": "",
    "since": 0.0,
    "expires": 9e12,
}
RUNNING = {"life_cycle_state": "RUNNING"}
# The responses of a workspace in which all work stays pending.
PENDING: dict[str, Any] = {
    "/api/2.0/preview/scim/v2/Me": {"userName": "me"},
    "/api/2.1/clusters/get": {"state": "PENDING", "cluster_name": "shop"},
    "/api/2.0/libraries/cluster-status": {
        "library_statuses": [
            {"library": {"whl": WHEEL}, "status": "INSTALLING"},
            {"library": {"whl": WHEEL.replace("1.0", "0.9")}, "status": "INSTALLED"},
        ]
    },
    "/api/2.2/jobs/runs/get": {"run_id": 1, "state": RUNNING, "tasks": []},
    "/api/2.2/jobs/runs/list": {
        "runs": [
            {"run_id": 1, "cluster_instance": {"cluster_id": "x"}, "state": RUNNING}
        ]
    },
}
WAITS = ("running", "wait_until_idle", "install", "clear")
POLLING = {
    "Runs.once",
    "DeployContext.inspect",
    *(f"Installation.{name}" for name in WAITS),
}
PENDING_CLI = {"clusters": [], "jobs": [], "run_id": 1, "job_id": 1, "settings": {}}
# For a lost connection, the CLI prints the error of `requests`; for a rejected request,
# the CLI prints the response.
BUSY = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "try again"}
CLI_SAYS = {
    "503": f"Error: {json.dumps(BUSY).encode()!r}",
    "dropped": "requests.exceptions.ConnectionError: Remote end closed connection",
}
# Methods that raise no error if the workspace fails, but return a result without the
# unknown values.
TOLERANT = {"DeployContext.seen", "DeployContext.entry"}


ENTRY = LedgerEntry(1, "deploy", "me", None, None, None, None, "x", "15", "me", "", "")
RELEASE = Release(
    package="shop",
    version="1.0",
    commit="c" * 40,
    folder="/Volumes/a/b/c/1.0/x",
    wheel="shop.whl",
    inspect="i.py",
    restore="r.py",
    files={"shop.whl": ""},
    job={},
)
# The argument for each parameter name. The arguments do not depend on the kind of
# workspace.
VALUES: dict[str, Any] = {
    "limits": LIMITS,
    "release": RELEASE,
    "entry": ENTRY,
    "previous": ENTRY,
    "pending": Pending("me", "deploy", None, None, runs=[DeployRun(1, 1, 0)]),
    "runs": [DeployRun(1, 1, 0)],
    "tasks": [],
    "settings": {"name": "nightly"},
    "body": {"run_name": "x"},
    "content": b"x",
    "overwrite": False,
    "number": 1,
    "run_id": 1,
    "task_run_id": 1,
    "job_id": 1,
    "arguments": ("runs", "get"),
    "options": (),
    "wheel": WHEEL,
    "base": "/Volumes/a/b/c",
    "package": "shop",
    "folder": "/Volumes/a/b/c",
    "path": "/Volumes/a/b/c/d",
}


class Server(ThreadingHTTPServer):
    """A workspace that treats all requests in the same way. This workspace answers with
    503, an empty object, a pending state or endless pages, or drops the connection.
    """

    daemon_threads = True
    mode = "pending"
    requests = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one(self) -> None:
        path = urlsplit(self.path).path
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/.well-known/"):
            return self.answer(404, {})
        self.server.requests += 1
        mode = self.server.mode
        if mode == "503":
            return self.answer(503, BUSY)
        if mode == "dropped":
            self.close_connection = True
            return None
        if mode == "pages":
            token = str(self.server.requests)
            return self.answer(200, {"next_page_token": token, "state": RUNNING})
        if mode == "pending" and path.startswith("/api/2.0/fs/files/"):
            return self.answer(200, HOLDER)
        if mode == "pending" and path.startswith("/api/2.0/fs/directories/"):
            return self.answer(200, {"contents": [{"name": "000001.json"}]})
        return self.answer(200, PENDING.get(path, {}) if mode == "pending" else {})

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = (
        handle_one  # noqa: N815 - http.server's
    )

    def answer(self, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Cli(DatabricksCli):
    """The real client of databricks-cli. The client also counts the runs of the program
    databricks-cli.
    """

    count: Callable[[], None]

    def text(self, *arguments: str) -> str:
        self.count()
        return super().text(*arguments)


@dataclass
class World:
    """The real clients, and a workspace that treats all requests in the same way.

    Attributes:
        server: the server that the SDK calls.
        folder: contains the fake databricks-cli, and a file with one byte for each run
            of the fake.
        seconds: how long the clients have slept in total, by a fake clock.
    """

    server: Server
    folder: Path
    target: Target
    seconds: float = 0.0
    steps: int = 0
    start: ClassVar[float] = 1_000_000.0
    sdk: WorkspaceClient = field(init=False)

    def __post_init__(self) -> None:
        def sleep(seconds: float) -> None:
            self.count()
            self.seconds += seconds

        clock = Clock(lambda: self.start + self.seconds, sleep)
        self.sdk = self.counted(clock)
        self.cli = Cli(self.program(), "https://host", "dapi0123456789", {})
        self.cli.count = self.count
        self.workspace = Databricks(self.sdk, self.cli, LIMITS, clock)
        self.values: dict[str, Any] = {
            **deepcopy(VALUES),
            "sdk": self.sdk,
            "cli": self.cli,
            "workspace": self.workspace,
            "clock": clock,
            "target": replace(self.target, limits=LIMITS),
            "events": Events(lambda line: None),
            "me": Holder(**{**HOLDER, "id": "me", "since": self.start}),
            "ask": self.sdk.current_user.me,
        }
        self.texts = {"name", "token", "cluster", "cluster_id", "runtime"}

    def counted(self, clock: Clock) -> WorkspaceClient:
        """Return an SDK client whose requests are counted."""
        options: dict[str, Any] = {
            "clock": SdkClock(clock, LIMITS.request),
            "disable_experimental_files_api_client": True,
        }
        config = Config(
            host=f"http://127.0.0.1:{self.server.server_address[1]}",
            token="dapi0123456789",
            auth_type="pat",
            http_timeout_seconds=5,
            retry_timeout_seconds=1,
            **options,
        )
        sdk = WorkspaceClient(config=config)
        do = sdk.api_client.do

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count()
            return do(*arguments, **options)

        # Replace the method, because the SDK has no hook that counts requests.
        sdk.api_client.do = counted  # type: ignore[method-assign]  # a double
        limit_pages(sdk.api_client, PAGES)
        return sdk

    def count(self) -> None:
        """Count a request or a sleep; fail if there are too many."""
        self.steps += 1
        assert self.steps < 5 * MOST, "it does not end"

    def program(self) -> Path:
        """Write a fake databricks-cli, and return its path."""
        mode = self.server.mode
        answer = CLI_SAYS.get(
            mode, json.dumps(PENDING_CLI if mode == "pending" else {})
        )
        (self.folder / "answer").write_text(answer)
        program = self.folder / "databricks"
        program.write_text(
            f"#!/bin/sh\necho >> {self.folder}/runs\n"
            f"cat {self.folder}/answer\nexit {int(mode in CLI_SAYS)}\n"
        )
        program.chmod(0o755)
        return program

    @property
    def requests(self) -> int:
        """Return how many requests both clients have sent."""
        runs = self.folder / "runs"
        return self.server.requests + (len(runs.read_text()) if runs.exists() else 0)

    def given(self, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return an argument for each of a function's parameters that has no
        default.
        """
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if (
                parameter.default is not parameter.empty
                or parameter.kind is parameter.VAR_KEYWORD
            ):
                continue
            assert (
                name in self.values or name in self.texts
            ), f"a value for {function}: {name}"
            value = self.values.get(name, "x")
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += value if isinstance(value, tuple) else ()
            elif parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                positional.append(value)
        return positional, named

    def make(self, kind: type) -> Any:
        if kind is DatabricksCli:
            return self.cli
        positional, named = self.given(kind)
        return kind(*positional, **named)


def clients() -> list[type]:
    """Return the classes that call a workspace, or whose constructor gets a client."""
    found: set[type] = {DatabricksCli}
    for module in pkgutil.iter_modules(lake_ci.deploy.__path__, "lake_ci.deploy."):
        if module.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            own = inspect.isclass(kind) and kind.__module__ == module.name
            if own and kind is not Workspace:
                parameters = inspect.signature(kind).parameters.values()
                annotations = {str(parameter.annotation) for parameter in parameters}
                if annotations & {"Workspace", "WorkspaceClient", "DatabricksCli"}:
                    found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


def methods() -> list[tuple[type, str]]:
    return [
        (kind, name)
        for kind in clients()
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]


def outcome(world: World, kind: type, name: str) -> LakeCiError | None:
    """Call a method, and return the error that it raises, or None if it raises none."""
    made = world.make(kind)
    method = getattr(made, name)
    positional, named = world.given(method)
    try:
        found = method(*positional, **named)
        if inspect.isgenerator(found):
            list(found)
    except LakeCiError as error:
        return error
    return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(
            target=made.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        yield made
        made.shutdown()
        thread.join()


every = pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in methods()],
)


def test_introspection_finds_what_asks_a_workspace() -> None:
    assert set(clients()) >= {
        Databricks,
        DatabricksCli,
        Installation,
        Ledger,
        Lock,
        Runs,
        DeployContext,
    }
    protocol = {name for name in vars(Workspace) if not name.startswith("_")}
    assert {name for kind, name in methods() if kind is Databricks} >= protocol


@every
@pytest.mark.parametrize("mode", ["503", "dropped", "empty"])
def test_method_ends_within_its_attempts_where_the_workspace_fails(
    server: Server, tmp_path: Path, target: Target, kind: type, name: str, mode: str
) -> None:
    server.mode = mode
    world = World(server, tmp_path, target)
    error = outcome(world, kind, name)
    if mode != "empty" and world.requests and f"{kind.__name__}.{name}" not in TOLERANT:
        assert isinstance(error, WorkspaceError)
    if mode != "empty":
        assert world.requests <= LIMITS.attempts
        pauses = LIMITS.pause * (2 ** (LIMITS.attempts - 1) - 1)
        # The SDK waits once per request before it checks its time limit.
        assert world.seconds <= pauses + LIMITS.attempts * LIMITS.request + 1e-6
    # Some methods accept the empty answer; other methods poll until the time limit.
    assert world.requests < MOST
    assert world.seconds <= 2 * (LIMITS.run + LIMITS.poll)


@every
def test_method_ends_in_time_where_everything_stays_pending(
    server: Server, tmp_path: Path, target: Target, kind: type, name: str
) -> None:
    world = World(server, tmp_path, target)
    error = outcome(world, kind, name)
    # If a run does not end, it is canceled. Then the deploy waits for the canceled run,
    # with the same time limit as before.
    assert world.seconds <= 2 * (LIMITS.run + LIMITS.poll)
    assert world.requests < MOST
    if f"{kind.__name__}.{name}" in POLLING or world.seconds > 0:
        assert isinstance(error, StepError) and "within 5 s" in str(error)


@every
def test_method_ends_where_every_page_names_a_next_one(
    server: Server, tmp_path: Path, target: Target, kind: type, name: str
) -> None:
    server.mode = "pages"
    world = World(server, tmp_path, target)
    error = outcome(world, kind, name)
    assert world.requests < MOST
    if kind is Databricks and name in ("names", "active_runs", "run"):
        assert isinstance(error, WorkspaceError)
        assert f"more than {PAGES} pages" in str(error)
        assert world.requests == PAGES


def test_wait_that_a_server_asks_for_is_cut_to_the_limit_of_a_request() -> None:
    slept: list[float] = []
    SdkClock(Clock(lambda: 0.0, slept.append), 60).sleep(86_400)
    assert slept == [60]
