"""Runs an emulator, and runs deploys to this emulator, each as a separate process. The
tests read the state of the workspace with plain HTTP requests.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from testing.deploys.project import BASE, LAKE, PACKAGE

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY_SECONDS = 1800
FOREIGN = ("DATABRICKS_", "WORKSPACE_EMULATOR", "LAKE_CI", "COV", "PYTEST")


@dataclass(frozen=True)
class Ran:
    """A deploy that has ended."""

    code: int
    output: str
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        return (
            str(self.events[-1]["outcome"])
            if self.events and self.events[-1]["event"] == "result"
            else "killed"
        )

    def row(self, step: str) -> dict[str, Any]:
        """Return the event at the end of a step. If the step ran several times, the
        last event is returned.
        """
        return [
            event
            for event in self.events
            if event["event"] == "end" and event["step"] == step
        ][-1]


class DeployHarness:
    """An emulator that runs during a `with` block. The emulator's workspace is in a
    folder.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.token = f"dapi{secrets.token_hex(16)}"
        self.url = ""

    def __enter__(self) -> DeployHarness:
        env = environment() | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "utils")]),
            "WORKSPACE_EMULATOR_TOKEN": self.token,
        }
        argv = [
            sys.executable,
            "-m",
            "testing.deploys.serve",
            "--state",
            str(self.state),
        ]
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "emulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._process.wait()
            raise RuntimeError(
                (self.state / "emulator.log").read_text(encoding="utf-8")
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def start(
        self, project: Path, *arguments: str, below: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start a deploy in a new process session. If the command `below` is given,
        this command starts the deploy as a child process.
        """
        env = environment() | {
            "PYTHONPATH": str(REPOSITORY / "utils"),
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_TOKEN": self.token,
            "DATABRICKS_AUTH_TYPE": "pat",
            "DATABRICKS_CONFIG_FILE": os.devnull,
        }
        argv = [
            sys.executable,
            "-m",
            "lake_ci.deploy",
            "--environment",
            "trial",
            "--emulator",
            "--root",
            str(project),
        ]
        return subprocess.Popen(
            [*below, *argv, *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
            preexec_fn=reset_signals,
        )

    def deploy(self, project: Path, *arguments: str) -> Ran:
        """Run a deploy and wait until it ends."""
        return finish(self.start(project, *arguments))

    # Emulator

    def order(self, **fault: Any) -> int:
        """Add a fault to the emulator. Returns the id of the fault."""
        return int(self.ask("POST", "/emulator/faults", fault)["id"])

    def reached(self, fault: int, seconds: float = 300) -> bool:
        """Wait until a fault has occurred, but at most `seconds` seconds. Returns
        whether the fault has occurred.
        """
        found = self.ask("GET", f"/emulator/faults/{fault}/hit?seconds={seconds}")
        return bool(found["holding"] if found["kind"] == "hold" else found["hit"])

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the recorded requests to the workspace, in order."""
        return list(self.ask("GET", f"/emulator/requests?since={since}")["requests"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a plain HTTP request to the emulator."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.url + urllib.parse.quote(path, safe="/?=&+%"),
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
            method=method,
        )
        with urllib.request.urlopen(
            request, timeout=400
        ) as answer:  # nosec B310 - loopback
            return json.loads(answer.read() or b"{}")

    # State of the workspace

    def names(self, folder: str) -> list[str]:
        try:
            return [
                each["name"]
                for each in self.ask("GET", f"/api/2.0/fs/directories{folder}").get(
                    "contents", ()
                )
            ]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise

    def read(self, path: str) -> Any:
        return self.ask("GET", f"/api/2.0/fs/files{path}")

    def wrong(self, version: str | None) -> list[str]:
        """Return everything in the workspace that differs from a complete deploy of
        this version.
        """
        live = [
            entry for entry in self.ledger() if entry["kind"] in ("deploy", "rollback")
        ]
        last = live[-1] if live else {"version": None, "folder": None}
        found = [*self._under_way()]
        if last["version"] != version:
            found.append(f"the ledger says {last['version']}")
        found += self._wrong_on_the_cluster(version)
        jobs = self.ask("GET", "/api/2.1/jobs/list?expand_tasks=true").get("jobs", ())
        scripts = [
            [
                task["spark_python_task"]["python_file"]
                for task in row["settings"]["tasks"]
            ]
            for row in jobs
        ]
        wanted = [f"{last['folder']}/{name}" for name in ("fill.py", "check.py")]
        if scripts != ([wanted] if version else []):
            found.append(f"the jobs run {scripts}")
        return found

    def _under_way(self) -> Iterator[str]:
        """Yield a message for each lock, pending change and run that a deploy should
        not leave.
        """
        if locks := self.names(f"{BASE}/locks"):
            yield f"locks stay: {locks}"
        if "pending.json" in self.names(BASE):
            yield "something is under way"
        running = self.ask("GET", "/api/2.1/jobs/runs/list?active_only=true")
        if runs := running.get("runs", ()):
            yield f"runs go on: {[run['run_id'] for run in runs]}"

    def _wrong_on_the_cluster(self, version: str | None) -> Iterator[str]:
        """Yield a message for each reason why the cluster does not run exactly this
        version.
        """
        [cluster] = self.ask("GET", "/api/2.0/clusters/list").get("clusters", [])
        if cluster["state"] != "RUNNING":
            yield f"the cluster is {cluster['state']}"
        query = f"/api/2.0/libraries/cluster-status?cluster_id={cluster['cluster_id']}"
        rows = self.ask("GET", query).get("library_statuses", ())
        wheels = [(row["library"]["whl"].split("-")[1], row["status"]) for row in rows]
        if wheels != ([(version, "INSTALLED")] if version else []):
            yield f"the cluster has {wheels}"
        packages = f"clusters/{cluster['cluster_id']}/*/lib/*/site-packages"
        inside = [
            path.name.removesuffix(".dist-info").split("-")[1]
            for path in self.state.glob(f"{packages}/{PACKAGE}-*.dist-info")
        ]
        if inside != ([version] if version else []):
            yield f"its environment has {inside}"

    def rows(self) -> list[str]:
        """Return the versions of the project that have written rows into the gold
        table.
        """
        if "gold_sales.json" not in self.names(LAKE):
            return []
        found: list[str] = self.read(f"{LAKE}/gold_sales.json")[-1]["rows"]
        return found

    def ledger(self) -> list[dict[str, Any]]:
        return [
            self.read(f"{BASE}/ledger/{name}")
            for name in sorted(self.names(f"{BASE}/ledger"))
        ]


def reset_signals() -> None:
    """Restore the default handling of SIGINT and SIGHUP in a child process. A process
    that nohup or a background shell has started ignores these signals.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def finish(process: subprocess.Popen[str]) -> Ran:
    """Wait until a deploy ends, and read its output."""
    try:
        output, _ = process.communicate(timeout=DEPLOY_SECONDS)
    except subprocess.TimeoutExpired:
        kill(process)
        output, _ = process.communicate()
        output += f"\nnot ended within {DEPLOY_SECONDS} s"
    events = []
    for line in output.splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                events.append(event)
    return Ran(process.returncode, output, events)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a deploy and all its child processes with SIGKILL."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment() -> dict[str, str]:
    """Return the environment variables of this process, except those for a workspace,
    the emulator, the suite, coverage and pytest.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN)
    }
