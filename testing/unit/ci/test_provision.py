"""`.ci/provision` prepares missing resources in the background, and returns without
waiting.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.errors import MachineError
from lake_ci.system import provisioning
from testing.unit.ci.conftest import SECONDS, Machine


@pytest.fixture
def two(machine: Machine) -> Machine:
    """Return a machine whose engine and browser are not prepared yet."""
    machine.resource("engine")
    machine.resource("browser")
    return machine


def wait(machine: Machine, name: str, then: Callable[[], None] = lambda: None) -> bool:
    """Wait for a resource as a session does. Call `then` while waiting."""
    env = machine.sessions_env()
    return provisioning.wait([name], env, lambda line: then(), limit_seconds=SECONDS)


def identity(machine: Machine, name: str) -> str:
    resource = provisioning.find(machine.sessions_env(), name)
    assert resource is not None
    return resource.identity


def test_what_is_there_is_not_prepared(two: Machine) -> None:
    (two.state / "engine.made").touch()
    (two.state / "browser.made").touch()
    done = two.run(".ci/provision", "engine", "browser")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert provisioning.find(two.sessions_env(), "engine") is None


def test_missing_resources_are_prepared_in_order_while_sessions_wait(
    two: Machine,
) -> None:
    done = two.run(".ci/provision", "engine", "browser")
    two.groups.add(int(done.stdout))
    assert "preparing engine browser in the background" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    before = identity(two, "engine")
    assert wait(two, "engine", lambda: two.answer("engine", "good")) is True
    assert wait(two, "browser", lambda: two.answer("browser", "good")) is True
    assert two.made() == ["engine", "browser"]
    assert two.provision("engine", "browser") == 0
    assert identity(two, "engine") == before
    assert "making engine" in (two.folder / "engine.log").read_text()


def test_a_failure_is_an_error_of_the_waiting_session_alone(two: Machine) -> None:
    two.provision("engine", "browser")
    with pytest.raises(MachineError, match=r"engine is bad\n\.ci/engine: exit code 7"):
        wait(two, "engine", lambda: two.answer("engine", "bad"))
    assert wait(two, "browser", lambda: two.answer("browser", "good")) is True


def test_the_next_run_tries_again_what_failed(two: Machine) -> None:
    two.provision("engine")
    with pytest.raises(MachineError):
        wait(two, "engine", lambda: two.answer("engine", "bad"))
    two.provision("engine")
    assert wait(two, "engine", lambda: two.answer("engine", "good")) is True
    assert "engine is bad" not in (two.folder / "engine.log").read_text()


def test_two_runs_at_once_make_it_once(two: Machine) -> None:
    two.provision("engine")
    first = identity(two, "engine")
    two.provision("engine")
    assert identity(two, "engine") == first
    assert wait(two, "engine", lambda: two.answer("engine", "good")) is True
    assert two.made() == ["engine"]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name
)
def test_the_second_run_goes_on_where_the_first_one_is_ended(
    two: Machine, number: signal.Signals
) -> None:
    first = two.provision("engine")
    two.provision("engine")

    def end_the_first() -> None:
        two.end(first, number)
        two.answer("engine", "good")

    assert wait(two, "engine", end_the_first) is True


def test_what_was_started_by_it_and_goes_on_does_not_count_as_preparing(
    two: Machine,
) -> None:
    """In this test, the preparation fails, but the engine that it has started continues
    to run.
    """
    os.mkfifo(two.state / "service")
    script = two.checkout / ".ci" / "engine"
    service = 'setsid cat "$STATE/service" >/dev/null 2>&1 &\n    read -r word'
    script.write_text(script.read_text().replace("read -r word", service))
    two.provision("engine")
    service_input = os.open(two.state / "service", os.O_RDWR)
    try:
        with pytest.raises(MachineError, match="engine could not be prepared"):
            wait(two, "engine", lambda: two.answer("engine", "bad"))
    finally:
        os.close(service_input)


def test_a_resource_that_is_gone_is_prepared_again_under_another_identity(
    two: Machine,
) -> None:
    two.provision("engine")
    wait(two, "engine", lambda: two.answer("engine", "good"))
    before = identity(two, "engine")
    (two.state / "engine.made").unlink()
    two.provision("engine")
    assert identity(two, "engine") != before
    assert wait(two, "engine", lambda: two.answer("engine", "good")) is True


def test_one_that_was_made_and_not_recorded_is_ready(two: Machine) -> None:
    two.end(two.provision("engine"), signal.SIGKILL)
    (two.state / "engine.made").touch()
    assert two.provision("engine") == 0
    assert wait(two, "engine") is False


def test_a_full_disk_is_named(two: Machine) -> None:
    script = two.checkout / ".ci" / "engine"
    script.write_text(
        script.read_text().replace("read -r word", "echo x >/dev/full; read -r word")
    )
    two.provision("engine")
    with pytest.raises(MachineError, match="No space left on device"):
        wait(two, "engine")


def test_it_has_a_low_priority_among_sessions(two: Machine) -> None:
    group = two.provision("engine")
    autogroup = Path(f"/proc/{group}/autogroup")
    if not autogroup.exists():
        pytest.skip("this kernel does not share the processor among sessions")
    with (two.state / "engine.pipe").open("w") as pipe:  # while it is prepared
        assert autogroup.read_text().endswith(" nice 10\n")
        pipe.write("good\n")
