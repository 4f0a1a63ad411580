"""Fixtures: a fake workspace in memory that records its calls, and a small release to
deploy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lake_ci.deploy.bundle import Target
from lake_ci.deploy.client import (
    LEAVING,
    Cluster,
    JobRun,
    Library,
    Output,
    ScheduledJob,
    TaskRun,
)
from lake_ci.deploy.context import DeployContext
from lake_ci.deploy.errors import WorkspaceError
from lake_ci.deploy.events import Events
from lake_ci.deploy.lock import Holder, machine
from lake_ci.deploy.release import Release, parse
from lake_ci.deploy.retries import Clock
from lake_ci.model.settings import Limits

BASE = "/Volumes/main/shop/artifacts/shop/trial"
CLUSTER = "0101-cluster"
JOB = {
    "name": "shop nightly",
    "tags": {"environment": "trial"},
    "tasks": [
        {
            "task_key": "fill",
            "existing_cluster_id": "${var.cluster_id}",
            "max_retries": 2,
            "spark_python_task": {
                "python_file": "scripts/fill.py",
                "parameters": ["--lake", "main.shop"],
            },
        }
    ],
}


@dataclass
class FakeWorkspace:
    """`client.Workspace` in memory.

    Attributes:
        calls: the calls that change something, in order.
        files: the files of the volume.
        running: the wheel that the cluster's processes import. This is the wheel that
            was installed when the cluster started. If none was installed then, it is
            the first wheel that was installed later.
        break_at: errors by the name of a call. The next call of this name raises the
            error and has no effect.
        lose_at: errors by the name of a call. The next call of this name takes effect
            and then raises the error, as if the response were lost.
        tables: Delta versions, as `inspect` reports them.
        result: the result of the scripts that are submitted next.
    """

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    state: str = "RUNNING"
    libraries: dict[str, Library] = field(default_factory=dict)
    running: str | None = None
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    others: dict[int, str] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    result: str = "SUCCESS"
    restored: dict[str, Any] = field(
        default_factory=lambda: {"restored": {}, "dropped": [], "left": {}}
    )
    runs: dict[int, tuple[JobRun, dict[int, Output]]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    break_at: dict[str, BaseException] = field(default_factory=dict)
    lose_at: dict[str, BaseException] = field(default_factory=dict)
    library_result: str = "INSTALLED"
    extra_packages: dict[str, str] = field(default_factory=dict)
    now: float = 1_000_000.0

    def _called(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name in self.break_at:
            raise self.break_at.pop(name)

    def _done(self, name: str) -> None:
        if name in self.lose_at:
            raise self.lose_at.pop(name)

    def calls_of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def user(self) -> str:
        return "somebody@example.com"

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def write(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        self._called("write", path)
        if path in self.files and not overwrite:
            return False
        self.files[path] = content
        self._done("write")
        return True

    def delete(self, path: str) -> None:
        self._called("delete", path)
        self.files.pop(path, None)

    def names(self, folder: str) -> Sequence[str]:
        inside = [
            path[len(folder) + 1 :]
            for path in self.files
            if path.startswith(f"{folder}/")
        ]
        return sorted({path.partition("/")[0] for path in inside})

    def find_cluster(self, name: str) -> str | None:
        return CLUSTER

    def cluster(self, cluster_id: str) -> Cluster:
        return Cluster(cluster_id, "shop", self.state, "15.4.x-scala2.12")

    def start(self, cluster_id: str) -> None:
        self._called("start")
        self._up()

    def restart(self, cluster_id: str) -> None:
        self._called("restart")
        self._up()
        self._done("restart")

    def _up(self) -> None:
        self.state = "RUNNING"
        self.libraries = {
            path: each for path, each in self.libraries.items() if each.state != LEAVING
        }
        self.running = next(iter(self.libraries), None)

    def wheels(self, cluster_id: str) -> Sequence[Library]:
        return list(self.libraries.values())

    def install(self, cluster_id: str, wheel: str) -> None:
        self._called("install", wheel)
        messages = (
            ("no matching distribution",) if self.library_result == "FAILED" else ()
        )
        self.libraries[wheel] = Library(wheel, self.library_result, messages)
        if self.running is None and self.library_result == "INSTALLED":
            self.running = wheel
        self._done("install")

    def uninstall(self, cluster_id: str, wheel: str) -> None:
        self._called("uninstall", wheel)
        self.libraries[wheel] = replace(self.libraries[wheel], state=LEAVING)
        self._done("uninstall")

    def active_runs(self, cluster_id: str) -> Mapping[int, str]:
        return self.others

    def submit(self, body: Mapping[str, Any]) -> int:
        self._called("submit", body["run_name"], body["idempotency_token"])
        if body["idempotency_token"] in self.tokens:
            return self.tokens[body["idempotency_token"]]
        number = self.tokens[body["idempotency_token"]] = 100 * (len(self.runs) + 1)
        tasks, outputs, bad = [], {}, False
        for index, task in enumerate(body["tasks"], 1):
            key = task["task_key"]
            result = self.result if key == "fill" else "SUCCESS"
            if bad:
                tasks.append(TaskRun(key, number + index, "SKIPPED"))
                continue
            if key == "fill":
                self.tables["gold_sales"] = self.tables.get("gold_sales", -1) + 1
            bad = result != "SUCCESS"
            tasks.append(
                TaskRun(
                    key,
                    number + index,
                    "TERMINATED",
                    result,
                    "",
                    self.now,
                    self.now + 1,
                )
            )
            output = self.restored if key == "restore" else self._inside()
            log = (
                "\n".join(["noise", json.dumps({"lake_ci": output})])
                if not bad
                else "division by zero"
            )
            outputs[number + index] = Output(log, "")
        whole = JobRun(
            number, "TERMINATED", "FAILED" if bad else "SUCCESS", "", tuple(tasks)
        )
        self.runs[number] = (whole, outputs)
        self._done("submit")
        return number

    def _inside(self) -> dict[str, Any]:
        version = (
            self.running.rpartition("/")[2].split("-")[1] if self.running else None
        )
        packages = {
            "numpy": "1.26",
            **self.extra_packages,
            **({"shop": version} if version else {}),
        }
        return {
            "python": "3.11.9",
            "version": version,
            "own": ["shop"] if version else [],
            "packages": packages,
            "tables": {
                name: {"version": number} for name, number in self.tables.items()
            },
            "gold": {"gold_sales": {"rows": 3, "sums": {"price": "7.5"}}},
        }

    def run(self, run_id: int) -> JobRun:
        return self.runs[run_id][0]

    def output(self, task_run_id: int) -> Output:
        return next(
            outputs[task_run_id]
            for _, outputs in self.runs.values()
            if task_run_id in outputs
        )

    def cancel(self, run_id: int) -> None:
        self._called("cancel", run_id)

    def job(self, name: str) -> ScheduledJob | None:
        found = [
            number for number, settings in self.jobs.items() if settings["name"] == name
        ]
        return ScheduledJob(found[0], self.jobs[found[0]]) if found else None

    def create_job(self, settings: Mapping[str, Any]) -> int:
        self._called("create_job", settings["name"])
        self.jobs[7] = dict(settings)
        self._done("create_job")
        return 7

    def reset_job(self, job_id: int, settings: Mapping[str, Any]) -> None:
        self._called("reset_job", job_id)
        self.jobs[job_id] = dict(settings)

    def delete_job(self, job_id: int) -> None:
        self._called("delete_job", job_id)
        del self.jobs[job_id]


@dataclass
class Scene:
    """A target of deploys with a fake workspace, and the events of these deploys."""

    workspace: FakeWorkspace
    target: Target
    clock: Clock
    events: list[dict[str, Any]] = field(default_factory=list)
    process: int = 41

    def context(self, **options: Any) -> DeployContext:
        """Return a new context, as in a new process. The processes of earlier contexts
        count as ended.
        """
        self.process += 1
        me = Holder(
            f"deploy{self.process}",
            "me@here",
            "deploys to trial",
            machine(),
            self.process,
            "",
            self.clock.now(),
            2e9,
        )
        events = Events(lambda line: self.events.append(json.loads(line)))
        context = DeployContext(
            self.workspace,
            self.target,
            CLUSTER,
            "15.4.x-scala2.12",
            events,
            self.clock,
            me,
        )
        context.lock._alive = lambda holder: holder.process == self.process
        return context

    def row(self, name: str) -> dict[str, Any]:
        """Return the last row with this name."""
        return [
            event
            for event in self.events
            if event["event"] == "end" and event["step"] == name
        ][-1]

    @property
    def steps(self) -> list[str]:
        return [event["step"] for event in self.events if event["event"] == "end"]


@pytest.fixture
def clock() -> Clock:
    """Return a clock that advances only when the deploy sleeps."""
    seconds = [1_000_000.0]

    def sleep(number: float) -> None:
        seconds[0] += number

    return Clock(lambda: seconds[0], sleep)


@pytest.fixture
def target() -> Target:
    return Target(
        name="trial",
        host=None,
        profile=None,
        package="shop",
        base=BASE,
        source="/Volumes/main/shop/files/incoming",
        lake="main.shop",
        cluster=CLUSTER,
        lookup=False,
        job=JOB,
        inspect="scripts/inspect.py",
        restore="scripts/restore.py",
        sample=None,
        compare=None,
        limits=Limits(
            request=1,
            attempts=3,
            pause=0.1,
            poll=0.1,
            start=5,
            install=5,
            run=5,
            busy=5,
        ),
    )


@pytest.fixture
def workspace() -> FakeWorkspace:
    return FakeWorkspace()


@pytest.fixture
def scene(workspace: FakeWorkspace, target: Target, clock: Clock) -> Scene:
    return Scene(workspace, target, clock)


@pytest.fixture
def built(target: Target) -> Callable[..., tuple[Release, dict[str, bytes]]]:
    """Return a function that returns a release and its files, as `release.make` does:
    `built("1.0")`.
    """
    import hashlib

    def make(version: str, wheel: bytes = b"wheel") -> tuple[Release, dict[str, bytes]]:
        name = f"shop-{version}-py3-none-any.whl"
        contents = {
            name: wheel + version.encode(),
            "fill.py": b"print()",
            "inspect.py": b"",
            "restore.py": b"",
            "job.json": json.dumps(JOB, indent=1, sort_keys=True).encode(),
        }
        files = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in contents.items()
        }
        digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[
            :12
        ]
        folder = f"{BASE}/{version}/{digest}"
        release = Release(
            "shop",
            version,
            "c" * 40,
            folder,
            name,
            "inspect.py",
            "restore.py",
            files,
            JOB,
        )
        assert parse(release.text()) == release
        return release, contents

    return make


@pytest.fixture
def lost() -> WorkspaceError:
    return WorkspaceError("no answer", retryable=True)


@pytest.fixture
def here() -> Path:
    return Path(__file__).parent
