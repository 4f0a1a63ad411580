"""`source .ci/prepare` sets up the shell, and does not wait for the work in the
background. When `.ci/run` ends, it stops the work in the background.
"""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from lake_ci.system import provisioning
from testing.unit.ci.conftest import Machine

SHOW = (
    'echo "$KUBEBUILDER_ASSETS $LAKE_CI_PROVISIONING'
    ' ${DOCKER_API_VERSION-none} $BASE"'
)
README = """
<!-- two commands -->
```sh
read -r word <"$STATE/command"
```
"""


@pytest.fixture
def bare(machine: Machine) -> Machine:
    """Return a machine that has Python, but neither an engine, an API server nor a
    browser.
    """
    for name in ("engine", "api-server", "browser"):
        machine.resource(name)
    builder = machine.checkout.parent / "shared" / "tools" / "build-kube-apiserver"
    builder.parent.mkdir(parents=True)
    builder.touch(mode=0o755)
    python = machine.cache / "python" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    machine.program("uname", "echo Linux")
    return machine


def source(machine: Machine) -> subprocess.CompletedProcess[str]:
    """Source the script with the strict options of `.ci/run`, and print the variables
    that it sets.
    """
    script = (
        f'set -euo pipefail; source .ci/prepare; {SHOW}; echo "$lake_ci_background"'
    )
    done = machine.succeed("bash", "-c", script)
    machine.groups |= {int(word) for word in done.stdout.splitlines()[1].split()}
    return done


def test_a_bare_machine_is_prepared_in_the_background(bare: Machine) -> None:
    first = source(bare)
    assert bare.made() in ([], ["engine"])
    assert len(first.stderr.splitlines()) == 1
    for name in ("engine", "api-server", "browser"):
        bare.answer(name, "good")
        provisioning.wait([name], bare.sessions_env(), print)
    assert bare.made() == ["engine", "api-server", "browser"]
    second = source(bare)
    assert second.stderr == ""
    # The variables are inputs of every job, so the preparation must not change their
    # values.
    assert second.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert (
        first.stdout.splitlines()[0]
        == f"{bare.cache}/kubebuilder {bare.folder} none own/base"
    )
    assert second.stdout.splitlines()[1] == ""


def test_a_base_image_that_is_named_is_kept(bare: Machine) -> None:
    bare.env["BASE"] = "mirror/python:3.11"
    assert source(bare).stdout.splitlines()[0].endswith(" mirror/python:3.11")


def test_a_cluster_that_is_named_needs_no_server(bare: Machine) -> None:
    bare.env |= {"KUBE_CONTEXT": "kind", "KUBEBUILDER_ASSETS": ""}
    source(bare)
    assert provisioning.find(bare.sessions_env(), "api-server") is None
    assert provisioning.find(bare.sessions_env(), "browser") is not None


def accept_interrupts() -> None:
    """Restore the default handling of SIGINT, which background processes of a shell
    ignore.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name
)
def test_what_is_being_prepared_ends_with_the_run(
    bare: Machine, number: signal.Signals
) -> None:
    (bare.checkout / "README.md").write_text(README)
    os.mkfifo(bare.state / "command")
    process = subprocess.Popen(
        ["bash", ".ci/run"],
        cwd=bare.checkout,
        env=bare.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=accept_interrupts,
    )
    with (bare.state / "command").open("w"), (bare.state / "engine.pipe").open("w"):
        # Now the command from the README is running, and the engine is being prepared.
        os.killpg(process.pid, number)
        assert process.wait() != 0
        bare.wait_for_lifeline()
    assert bare.made() == ["engine"]
