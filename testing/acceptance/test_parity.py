"""Tests that local runs and CI have the same results. For the same event, act runs the
committed workflow file, as GitHub would, and nox runs the jobs locally.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lake_ci.model import results
from testing.acceptance.conftest import Checkout

REPOSITORY = Path(__file__).parents[2]
PARITY = REPOSITORY / "testing" / "parity"
STAND_INS = {
    "actions/setup-python": "setup-python",
    "actions/cache": "cache",
    "actions/upload-artifact": "upload-artifact",
    "actions/download-artifact": "download-artifact",
    "actions/attest": "attest",
    "codecov/codecov-action": "codecov",
    "github/codeql-action": "codeql",
    "hashicorp/setup-terraform": "setup-terraform",
    "docker/setup-buildx-action": "setup-buildx-action",
    "helm/kind-action": "kind-action",
    "pypa/gh-action-pypi-publish": "pypi-publish",
}
PRIVATE = re.compile(
    r"LAKE_CI_.*|NOX.*|GITHUB_.*|COV_.*|COVERAGE_.*|VIRTUAL_ENV|PYTEST_.*"
)


@dataclass(frozen=True)
class Played:
    """The output of a simulated event. `results` are the contents of result.json by
    session, and `files` are the artifacts.
    """

    results: Mapping[str, Mapping[str, Any]]
    files: frozenset[str]
    code: int
    output: str

    def comparable(self) -> dict[str, Any]:
        """Return the results without the parts that differ in every run: times, ids,
        and texts that contain the path of the checkout.
        """
        return {job: _comparable(result) for job, result in self.results.items()}


def _comparable(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        key: result[key]
        for key in (
            "session",
            "status",
            "cause",
            "partial",
            "event",
            "commit",
            "python",
            "java",
            "reproduce",
            "artifacts",
        )
    }
    kept["checks"] = [
        (
            check["name"],
            check["status"],
            check["not_checked"],
            check["detail"],
            check["findings"],
        )
        for check in result["checks"]
    ]
    return kept


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment variables of a runner. The first `python` on PATH has pip.
    The environment variables of the session that runs these tests are removed.
    """
    folder = tmp_path_factory.mktemp("runner") / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [
            *install,
            "--require-hashes",
            "-r",
            str(REPOSITORY / "requirements" / "nox.txt"),
        ],
        check=True,
    )
    env = {
        name: value for name, value in os.environ.items() if not PRIVATE.fullmatch(name)
    }
    here = str(Path(sys.executable).parent)
    path = [part for part in env["PATH"].split(os.pathsep) if part != here]
    return {
        **env,
        "PATH": os.pathsep.join([str(folder / "bin"), *path]),
        "LAKE_CI_STRICT": "1",
        "LAKE_CI_CACHE": "off",
    }


@pytest.fixture
def small(tmp_path: Path, runner: Mapping[str, str]) -> Path:
    """Return a small repository that is committed on main. The small repository has the
    suite and the actions of this repository, and a generated workflow.
    """
    root = tmp_path / "small"
    shutil.copytree(
        PARITY / "repository", root, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        REPOSITORY / "utils" / "lake_ci",
        root / "utils" / "lake_ci",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copytree(REPOSITORY / ".github" / "actions", root / ".github" / "actions")
    (root / "requirements").mkdir()
    shutil.copy(REPOSITORY / "requirements" / "nox.txt", root / "requirements")
    subprocess.run(
        ["nox", "-s", "workflow"], cwd=root, env=runner, check=True, capture_output=True
    )
    commit(root, "first")
    return root


def commit(root: Path, message: str) -> None:
    if not (root / ".git").exists():
        subprocess.run(
            ["git", "init", "--quiet", "--initial-branch=main"], cwd=root, check=True
        )
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.invalid"]
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    subprocess.run(
        ["git", *identity, "commit", "--quiet", "--message", message],
        cwd=root,
        check=True,
    )


def play_by_nox(root: Path, env: Mapping[str, str], *arguments: str) -> Played:
    """Simulate an event with nox in the checkout."""
    shutil.rmtree(root / "reports", ignore_errors=True)
    shutil.rmtree(root / "dist", ignore_errors=True)
    done = subprocess.run(
        ["nox", "--", *arguments],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    folders = {
        path.parent.name: path.parent
        for path in (root / "reports").glob("*/result.json")
    }
    files = {
        f"{name}/{file.name}"
        for name, folder in folders.items()
        for file in folder.iterdir()
    }
    files |= {f"dist/{file.name}" for file in (root / "dist").glob("*")}
    return Played(
        _read(folders.values()),
        frozenset(files),
        done.returncode,
        done.stdout + done.stderr,
    )


def play_by_act(
    root: Path,
    env: Mapping[str, str],
    store: Path,
    event: str,
    payload: Mapping[str, Any],
    *arguments: str,
) -> Played:
    """Simulate an event with act. Each job has its own copy of the checkout, and jobs
    exchange artifacts through the folder `store`.
    """
    store.mkdir()
    (store.parent / "event.json").write_text(json.dumps(payload), encoding="utf-8")
    command = [
        "act",
        event,
        "--eventpath",
        str(store.parent / "event.json"),
        "--platform",
        "ubuntu-24.04=-self-hosted",
    ]
    command += ["--env", f"ACTIONS_STORE={store}", "--action-offline-mode", *arguments]
    for action, commit_id in sorted(set(_actions(root))):
        if action in STAND_INS:
            command += [
                "--local-repository",
                f"{action}@{commit_id}={PARITY / 'actions' / STAND_INS[action]}",
            ]
    home = store.parent / "home"
    home.mkdir()
    act = str(Path(sys.executable).parent / "act")
    # act stores its copies of the checkout in the cache folder.
    done = subprocess.run(
        [act, *command[1:]],
        cwd=root,
        env={**env, "XDG_CACHE_HOME": str(home), "UV_CACHE_DIR": _uv_cache(env)},
        capture_output=True,
        text=True,
        check=False,
    )
    folders = {path.parent.name: path.parent for path in store.glob("*/result.json")}
    files = {
        f"{folder.name}/{file.name}"
        for folder in store.iterdir()
        for file in folder.iterdir()
    }
    return Played(
        _read(folders.values()),
        frozenset(files),
        done.returncode,
        done.stdout + done.stderr,
    )


def _uv_cache(env: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["uv", "cache", "dir"],
        env=dict(env),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _actions(root: Path) -> list[tuple[str, str]]:
    files = [
        *(root / ".github").glob("workflows/*.yml"),
        *(root / ".github").glob("actions/*/action.yml"),
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return [
        (one[0], one[1])
        for one in re.findall(r"uses: ([\w-]+/[\w-]+)(?:/[\w/-]+)?@(\w+)", text)
    ]


def _read(folders: Any) -> dict[str, Any]:
    return {
        folder.name: json.loads((folder / "result.json").read_text(encoding="utf-8"))
        for folder in folders
    }


EVENTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "push-main": (
        "push",
        {"ref": "refs/heads/main"},
        ["--event", "push", "--branch", "main"],
    ),
    "push-develop": (
        "push",
        {"ref": "refs/heads/develop"},
        ["--event", "push", "--branch", "develop"],
    ),
    "pull_request": (
        "pull_request",
        {
            "pull_request": {
                "head": {"ref": "topic", "repo": {"fork": False}},
                "base": {"ref": "main"},
            }
        },
        ["--event", "pull_request", "--branch", "topic"],
    ),
    "merge_group": (
        "merge_group",
        {"ref": "refs/heads/gh-readonly-queue/main/1"},
        ["--event", "merge_group"],
    ),
    "schedule": (
        "schedule",
        {"ref": "refs/heads/main"},
        ["--event", "schedule", "--branch", "main"],
    ),
    "workflow_dispatch": (
        "workflow_dispatch",
        {"ref": "refs/heads/main", "inputs": {"environment": "trial"}},
        ["--event", "workflow_dispatch", "--branch", "main"],
    ),
    "tag": (
        "push",
        {"ref": "refs/tags/v1.0.0", "ref_type": "tag"},
        ["--event", "tag", "--branch", "v1.0.0"],
    ),
}


def ran(played: Played) -> set[str]:
    """Return the sessions that ran. Sessions are skipped if a needed session failed."""
    return {
        job
        for job, result in played.results.items()
        if result["cause"] != "need-failed"
    }


def assert_alike(by_nox: Played, by_act: Played) -> None:
    ours = {job: one for job, one in by_nox.comparable().items() if job in ran(by_nox)}
    assert by_act.comparable() == ours, by_act.output
    for played in (by_nox, by_act):
        for job, result in played.results.items():
            assert result["job"] == job


def assert_in_order(played: Played, needs: Mapping[str, tuple[str, ...]]) -> None:
    """Assert that no job's sessions started before the sessions of the jobs it needs.
    Start times have a resolution of one second.
    """
    for job, before in needs.items():
        starts = [
            one["started"]
            for name, one in played.results.items()
            if name.startswith(job) and name in ran(played)
        ]
        for need in before:
            earlier = [
                one["started"]
                for name, one in played.results.items()
                if name.startswith(need)
            ]
            if starts and earlier:
                assert max(earlier) <= min(starts), (job, need)


NEEDS = {
    "tests": ("lint",),
    "build": ("tests",),
    "performance": ("build",),
    "deploy": ("build",),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_runs_the_same_by_act_as_by_nox(
    name: str, small: Path, runner: Mapping[str, str], tmp_path: Path
) -> None:
    event, payload, arguments = EVENTS[name]
    by_nox = play_by_nox(small, runner, *arguments)
    by_act = play_by_act(small, runner, tmp_path / "store", event, payload)
    assert by_nox.code == 0, by_nox.output
    assert_alike(by_nox, by_act)
    assert_in_order(by_nox, NEEDS)
    assert_in_order(by_act, NEEDS)
    ours = ("summary/", "published/", "attestation/")
    handed_on = {file for file in by_act.files if not file.startswith(ours)}
    assert handed_on == by_nox.files
    published = {file for file in by_act.files if file.startswith("published/")}
    built = {file for file in by_nox.files if file.startswith("dist/")}
    released = {file.replace("dist/", "published/") for file in built}
    assert published == (released if name == "tag" else set())
    assert {"summary/index.html", "summary/summary.md"} <= by_act.files
    signed = built and name != "pull_request"
    assert ("attestation/attestation.json" in by_act.files) is bool(signed)


def test_a_failed_job_skips_its_dependents_alike(
    small: Path, runner: Mapping[str, str], tmp_path: Path
) -> None:
    test = small / "tests" / "test_greeting.py"
    test.write_text(
        test.read_text(encoding="utf-8").replace('"hello, lake")', '"good bye")'),
        encoding="utf-8",
    )
    commit(small, "a failing test")
    event, payload, arguments = EVENTS["push-main"]
    by_nox = play_by_nox(small, runner, *arguments)
    by_act = play_by_act(small, runner, tmp_path / "store", event, payload)
    assert by_nox.code == 1
    assert by_act.code == 1
    assert_alike(by_nox, by_act)
    assert ran(by_nox) == {"lint", "tests-3.10", "tests-3.11"}
    [finding] = by_act.results["tests-3.10"]["checks"][0]["findings"]
    assert (finding["file"], finding["line"]) == ("tests/test_greeting.py", 8)
    report = (tmp_path / "store" / "summary" / "summary.md").read_text(encoding="utf-8")
    rows = [row for row in report.splitlines() if row.startswith("| ⏸️")]
    assert any("build" in row and "tests" in row for row in rows)


def test_this_repository_is_linted_and_built_the_same_by_act_as_by_nox(
    original: Checkout, runner: Mapping[str, str], tmp_path: Path
) -> None:
    checkout = original.copy(tmp_path / "repository")
    # The job `build` needs the job `tests`. In the simulated events, one session with
    # two small sets of tests is enough for `tests`.
    (checkout.root / ".cache" / "jars").unlink()
    # Remove half of the Python code, because nox and act both run lint.
    shutil.rmtree(checkout.root / "testing")
    for suite in ("unit", "integration"):
        test = (
            "import lakekit\n\n\ndef test_it() -> None:\n    assert lakekit.__doc__\n"
        )
        checkout.write(f"testing/tiny/{suite}/test_package.py", test)
    unit = 'unit = ["testing/unit/lakekit", "testing/unit/lakekit_api"]'
    checkout.replace("pyproject.toml", unit, 'unit = ["testing/tiny/unit"]')
    integration = 'integration = ["testing/integration/lakekit"]'
    checkout.replace(
        "pyproject.toml", integration, 'integration = ["testing/tiny/integration"]'
    )
    minimum = "minimum = 95 if run.python == PYTHONS[-1] else 90"
    checkout.replace("noxfile.py", minimum, "minimum = 0")
    # Replace the jobs that `build` needs, because these jobs have their own tests and
    # may use a network.
    checkout.replace(
        "noxfile.py", "needs=[k8s, security, terraform, suite]", "needs=[tests]"
    )
    assert checkout.nox("-s", "workflow").code == 0
    checkout.commit()
    arguments = ["--job", "build", "--matrix", "session:tests-3.11(java17)"]
    by_act = play_by_act(
        checkout.root,
        runner,
        tmp_path / "store",
        "push",
        {"ref": "refs/heads/main"},
        *arguments,
    )
    by_nox = {
        job: checkout.nox("-s", job, env={"LAKE_CI_STRICT": "1"})
        for job in ("lint", "build")
    }
    assert set(by_act.results) == {"lint", "tests-3.11-java17", "build"}, by_act.output
    for job, ran in by_nox.items():
        ours = results.to_json(ran.result(job))
        theirs = dict(by_act.results[job])
        for body in (ours, theirs):
            for check in body["checks"]:
                check.update(seconds=0)
            body.update(run="", started="", seconds=0)
            body.update(processor_seconds=0, waited_seconds=0)
        assert json.loads(json.dumps(ours)) == theirs
        assert ran.code == 0, ran.output
