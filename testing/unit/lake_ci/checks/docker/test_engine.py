"""Tests the search for a container engine, and the removal of objects left in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.docker import engine as containers
from lake_ci.checks.docker.engine import SCRATCH, EngineCheck, engine
from lake_ci.model.results import Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]
DOCKER = """\
#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
  ps*) echo c1 ;;
  "volume ls"*) echo v1 ;;
  images*) echo lake-ci-x/api:checked ;;
esac
"""


@pytest.fixture
def docker(ctx: CheckContext, tmp_path: Path) -> Path:
    """Put a fake docker on PATH; return the file in which it records its commands.

    The fake docker has one container, one volume and one image.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    ctx.env |= {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "commands"),
    }
    return tmp_path / "commands"


def ok(text: str) -> Completed:
    return Completed((), 0, text, "", 0.1)


def test_without_docker_the_row_says_where_to_get_it(ctx: CheckContext) -> None:
    ctx.env["PATH"] = "/nowhere"
    with engine(ctx) as found:
        outcome = EngineCheck(found).run(ctx)
    assert outcome.status is Status.WARNING and outcome.not_checked
    assert (
        "docker is not on PATH" in outcome.detail
        and "https://docs.docker.com" in outcome.detail
    )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [Completed((), 1, "", "Cannot connect to the Docker daemon", 0.1)],
            "Cannot connect",
        ),
        (
            [ok("20.10.24 1.41\n"), Completed((), 1, "", "unknown command", 0.1)],
            "no buildx",
        ),
    ],
)
def test_an_engine_that_cannot_be_used_is_none(
    ctx: CheckContext,
    docker: Path,
    answering: Answering,
    answers: list[Completed],
    expected: str,
) -> None:
    answering(*answers)
    with engine(ctx) as found:
        assert expected in found.missing
    assert not docker.exists()


def test_before_and_after_a_run_nothing_of_the_checkout_is_left(
    ctx: CheckContext, docker: Path, answering: Answering
) -> None:
    answering(ok("20.10.24 1.41\n"), ok("github.com/docker/buildx v0.32.1 abc\n"))
    (ctx.root / SCRATCH / "api").mkdir(parents=True)
    with engine(ctx) as found:
        assert not (ctx.root / SCRATCH).exists()
        first = docker.read_text()
        outcome = EngineCheck(found).run(ctx)
        assert ctx.env["DOCKER_API_VERSION"] == "1.41"
        assert found.labelled == ["--label", f"lake-ci.checkout={found.checkout}"]
    commands = [
        line
        for line in docker.read_text().removeprefix(first).splitlines()
        if line.startswith(("rm", "volume rm"))
    ]
    assert commands == [
        "rm --force --volumes c1",
        "volume rm --force v1",
        "rmi --force lake-ci-x/api:checked",
    ]
    assert f"label=lake-ci.checkout={found.checkout}" in first
    left = (
        "removed leftovers of an earlier run: container c1, volume v1, image"
        " lake-ci-x/api:checked"
    )
    assert outcome.detail == f"20.10.24, buildx v0.32.1; {left}"


def test_a_process_that_a_killed_run_left_is_ended_and_no_other(
    ctx: CheckContext,
) -> None:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(
            command, env={**os.environ, containers.MARK: mark}, stdin=pipe, stdout=pipe
        )
        for mark in ("mine", "mine-not")
    ]
    try:
        for process in started:
            assert process.stdout and process.stdout.readline()
        assert containers._end_marked("mine") == [started[0].pid]
        assert started[0].wait(60) == -9 and started[1].poll() is None
    finally:
        for process in started:
            process.kill()
            process.communicate()
