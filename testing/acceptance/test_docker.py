"""Tests that each check of `nox -s docker` finds a defect seeded in the real
Dockerfile, and that no run leaves objects in the container engine.

Builds are slow. So each test builds one target from cached layers, with all defects
that one build can report.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake_ci.model.results import Finding
from testing.acceptance.conftest import ENVDIR, LIMIT, Checkout, Ran, Start

DOCKERFILE = "docker/Dockerfile"
COPY_WHEEL = "COPY --from=wheel /lakekit /opt/lake\n"
BUILD_SECONDS = 600
ASK_SECONDS = 0.2

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None and os.environ.get("LAKE_CI_STRICT") != "1",
    reason="there is no container engine",
)


@pytest.fixture
def checkout(original: Checkout, tmp_path: Path) -> Checkout:
    """Return a committed copy of the repository, with the downloaded jars."""
    copy = original.copy(tmp_path / "checkout")
    copy.commit()
    return copy


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Check after each test that no container, volume, image or process of the checkout
    remains.
    """
    yield
    assert left(tmp_path / "checkout") == []


def seed(checkout: Checkout, target: str, instructions: str) -> None:
    """Add instructions to a target's stage, after the instruction that copies the
    wheel.
    """
    path = checkout.root / DOCKERFILE
    head, stage, rest = re.split(
        rf"(^FROM runtime AS {target}$)", path.read_text(encoding="utf-8"), flags=re.M
    )
    assert COPY_WHEEL in rest
    path.write_text(
        head + stage + rest.replace(COPY_WHEEL, COPY_WHEEL + instructions, 1),
        encoding="utf-8",
    )


def line(checkout: Checkout, text: str, file: str = DOCKERFILE) -> int:
    """Return the number of the only line that contains a text."""
    lines = (checkout.root / file).read_text(encoding="utf-8").splitlines()
    [number] = [number for number, each in enumerate(lines, 1) if text in each]
    return number


def named(ran: Ran, check: str, rule: str) -> Finding:
    return ran.finding("docker", check, rule)


def identity(root: Path) -> str:
    """Return the id of a checkout. The id is in the labels of the checkout's containers
    and volumes, and in the names of its images.
    """
    return hashlib.sha256(str(root).encode()).hexdigest()[:12]


def left(root: Path) -> list[str]:
    """Return the containers, images, volumes and processes that a checkout's runs have
    left.
    """
    mark = identity(root)
    found = []
    for command in (
        ["ps", "--all", "--quiet", f"--filter=label=lake-ci.checkout={mark}"],
        ["volume", "ls", "--quiet", f"--filter=label=lake-ci.checkout={mark}"],
        ["images", "--quiet", f"--filter=reference=lake-ci-{mark}/*"],
    ):
        done = subprocess.run(
            ["docker", *command], capture_output=True, text=True, check=True
        )
        found += done.stdout.split()
    return found + processes(f"LAKE_CI_ENGINE={mark}".encode(), "environ")


def processes(text: bytes, where: str) -> list[str]:
    """Return the processes whose file `where` in /proc contains a text. `where` is
    `environ` or `cmdline`.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text in (folder / where).read_bytes():
                found.append(f"process {folder.name}")
        except OSError:
            continue
    return found


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it is true or the time limit is reached. Returns whether
    the condition became true.
    """
    deadline, wait = time.monotonic() + seconds, threading.Event()
    while not true():
        if time.monotonic() >= deadline:
            return False
        wait.wait(ASK_SECONDS)
    return True


def test_the_api_with_eight_defects_has_each_of_them_named(checkout: Checkout) -> None:
    seed(
        checkout,
        "api",
        "USER root\n"
        "RUN cd /opt && cp /bin/su . && chmod u+s su\n"
        "COPY . /opt/all\n"
        "RUN date +%N >/opt/built\n",
    )
    with (checkout.root / ".dockerignore").open("a", encoding="utf-8") as file:
        file.write("!.env\n")
    checkout.replace(".devcontainer/Dockerfile", "@sha256:", "@sha512:")
    checkout.replace(
        DOCKERFILE,
        'ENTRYPOINT ["dumb-init", "--", "lakekit-api"]',
        'ENTRYPOINT ["dumb-init", "--rewrite=15:0", "--", "lakekit-api"]',
    )
    budget = checkout.root / "pyproject.toml"
    text = budget.read_text(encoding="utf-8")
    budget.write_text(
        re.sub(r"(megabytes = .*\bapi = )\d+", r"\g<1>1", text), encoding="utf-8"
    )
    ran = checkout.nox("-s", "docker", "--", "--target", "api")
    stage = line(checkout, "FROM runtime AS api")
    hadolint = {
        (found.rule, found.line) for found in ran.check("docker", "hadolint").findings
    }
    assert {
        ("DL3003", line(checkout, "RUN cd /opt")),
        ("DL3002", line(checkout, "USER root")),
    } <= hadolint
    unpinned = named(ran, "base", "unpinned")
    assert (unpinned.file, unpinned.line) == (".devcontainer/Dockerfile", 1)
    assert named(ran, "configuration", "user").line == stage
    setuid = named(ran, "contents", "setuid")
    assert setuid.line == stage and "/opt/su" in setuid.message
    size = named(ran, "size", "budget")
    assert (size.file, size.line) == (
        "pyproject.toml",
        line(checkout, "megabytes = {", "pyproject.toml"),
    )
    # All other rows of this image must pass, including the health check and the memory
    # limit.
    [signalled] = ran.check("docker", "api").findings
    assert (signalled.file, signalled.line) == (
        "testing/images/test_api.py",
        line(checkout, "after SIGTERM", "testing/images/test_api.py"),
    )
    assert "SIGTERM" in signalled.message
    secret = named(ran, "again", "secret")
    assert (secret.file, secret.line) == (DOCKERFILE, line(checkout, "COPY . /opt/all"))
    assert "opt/all/.env" in secret.message and "canary" not in ran.output
    differs = named(ran, "again", "differs")
    assert differs.line == line(checkout, "RUN date") and "opt/built" in differs.message
    assert ran.result("docker").partial and ran.code == 1


def test_a_wrong_result_of_the_processor_and_a_missing_package_are_found(
    checkout: Checkout,
) -> None:
    # The settings require a package that the image does not contain.
    checkout.replace(
        "pyproject.toml", 'processor = "lakekit" }', 'processor = "lakekit-spark" }'
    )
    packages = "/opt/lake/lib/python3.11/site-packages"
    sql = f"{packages}/lakekit/nyc_flights/sql/gold/busiest_hours.sql"
    seed(
        checkout,
        "processor",
        "USER 0:0\nRUN sed -i 's/  cancelled,/  cancelled + 1 as cancelled,/'"
        f" {sql}\nUSER 10001:10001\n",
    )
    ran = checkout.nox("-s", "docker", "--", "--target", "processor", "--once")
    package = named(ran, "contents", "package")
    assert package.line == line(checkout, "FROM runtime AS processor")
    assert "lakekit-spark" in package.message
    [rows] = ran.check("docker", "processor").findings
    assert (rows.file, rows.line) == (
        "testing/images/test_processor.py",
        line(checkout, "other rows", "testing/images/test_processor.py"),
    )
    assert "gold.busiest_hours" in rows.message and "silver" not in rows.message


PROD = ("-s", "docker", "--", "--target", "prod", "--once")


def end_during_a_build(checkout: Checkout, start: Start, number: signal.Signals) -> Ran:
    """Stop a build of the image prod with a signal. Check that the next run removes
    everything that the stopped build has left.
    """
    mark = f"sleep 6000 && : {checkout.root.parent.name}-{number.name}"
    seed(checkout, "prod", f"RUN {mark}\n")
    nox = start(checkout, "--envdir", str(ENVDIR), *PROD)
    reached = until(lambda: bool(processes(mark.encode(), "cmdline")), BUILD_SECONDS)
    assert reached, "the step was never reached"
    os.kill(nox.pid, number)
    nox.communicate(timeout=LIMIT)
    checkout.replace(DOCKERFILE, f"RUN {mark}\n", "")
    ran = checkout.nox(*PROD)
    assert ran.code == 0, ran.output
    assert left(checkout.root) == []
    assert until(lambda: not processes(mark.encode(), "cmdline"), LIMIT)
    assert not (checkout.root / ".cache/docker/run").exists()
    return ran


def test_the_run_after_a_killed_build_leaves_nothing(
    checkout: Checkout, start: Start
) -> None:
    # The kill closes the pipe from which nox reads docker's output. docker may
    # therefore end before the next run, which then has nothing to remove.
    end_during_a_build(checkout, start, signal.SIGKILL)


def test_interrupted_build_reuses_layers_and_reports_the_failing_step(
    checkout: Checkout, start: Start
) -> None:
    ran = end_during_a_build(checkout, start, signal.SIGINT)
    # If the run had removed containers or images, the message would list them after a
    # semicolon.
    assert ";" not in ran.check("docker", "engine").detail
    with (checkout.root / "utils/lakekit/errors.py").open(
        "a", encoding="utf-8"
    ) as file:
        file.write("# a line more\n")
    checkout.replace("README.md", "# Lake CI\n", "# Lake CI, changed\n")
    ran = checkout.nox(*PROD)
    assert ran.code == 0, ran.output
    steps = ran.check("docker", "build").data["steps"]
    assert steps and {step.split()[0] for step in steps} <= {"wheel", "prod"}, steps
    assert not [
        step for step in steps if step.startswith("wheel 1/")
    ], "the build back end is a dependency, too"
    seed(checkout, "prod", "RUN echo before && ls /not-there\n")
    ran = checkout.nox(*PROD)
    failed = ran.check("docker", "build").findings[0]
    assert (failed.file, failed.line) == (DOCKERFILE, line(checkout, "/not-there"))
    assert "/not-there" in failed.message
    assert ran.rows("docker")["prod"] == "skipped"


def test_without_an_engine_the_row_says_how_to_get_one(checkout: Checkout) -> None:
    env = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "LAKE_CI_STRICT": ""}
    ran = checkout.nox("-s", "docker", env=env)
    engine = ran.check("docker", "engine")
    assert (engine.status.value, ran.code) == ("warning", 0), ran.output
    assert "https://docs.docker.com/engine/install/" in engine.detail
    strict = checkout.nox("-s", "docker", env=env | {"LAKE_CI_STRICT": "1"})
    assert strict.rows("docker")["engine"] == "failure" and strict.code == 1
