"""Only one deploy runs at a time. A second deploy is refused, and the error names the
lock's holder. When the process of the lock's holder has ended, the lock is stale.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from lake_ci.deploy.errors import RefusedError, WorkspaceError
from lake_ci.deploy.lock import (
    SKEW_SECONDS,
    Holder,
    Lock,
    LostLockError,
    born,
    lives,
    this_process,
)
from lake_ci.deploy.retries import Clock
from testing.unit.lake_ci.deploy.conftest import FakeWorkspace

FOLDER = "/Volumes/a/b/c/locks"


@pytest.fixture
def me(clock: Clock) -> Holder:
    return this_process("deploys to trial", 60, clock, "me@here")


@pytest.fixture
def lock(workspace: FakeWorkspace, clock: Clock) -> Lock:
    return Lock(workspace, FOLDER, clock)


def held(workspace: FakeWorkspace, holder: Holder) -> None:
    workspace.files[f"{FOLDER}/{holder.id}.json"] = json.dumps(asdict(holder)).encode()


def test_lock_that_is_given_back_can_be_taken_again(
    lock: Lock, me: Holder, workspace: FakeWorkspace
) -> None:
    assert lock.take(me) == []
    lock.check(me)
    lock.give_back(me)
    assert workspace.names(FOLDER) == []
    assert lock.take(replace(me, id="other")) == []


def test_second_deploy_is_refused_with_the_holders_name(lock: Lock, me: Holder) -> None:
    lock.take(me)
    with pytest.raises(
        RefusedError,
        match=r"me@here, process \d+, deploys to trial, since .*--break-lock",
    ):
        lock.take(replace(me, id="other", who="you@there"))


def test_lock_of_a_process_that_is_gone_is_cleared_away(
    workspace: FakeWorkspace, clock: Clock, me: Holder
) -> None:
    dead = replace(me, id="dead")
    held(workspace, dead)
    lock = Lock(workspace, FOLDER, clock, alive=lambda holder: holder.id != "dead")
    assert lock.take(me) == [dead]
    assert workspace.names(FOLDER) == [f"{me.id}.json"]


def test_lock_of_another_machine_stands_until_it_expires(
    lock: Lock, me: Holder, workspace: FakeWorkspace, clock: Clock
) -> None:
    theirs = replace(me, id="theirs", machine="elsewhere")
    held(workspace, theirs)
    with pytest.raises(RefusedError):
        lock.take(me)
    clock.sleep(60 + SKEW_SECONDS + 1)
    assert lock.take(me) == [theirs]


def test_of_two_that_come_at_once_not_both_deploy(
    lock: Lock, me: Holder, workspace: FakeWorkspace
) -> None:
    """A second deploy creates its lock just after this deploy has looked for locks."""
    real: Callable[..., bool] = workspace.write

    def write(path: str, content: bytes, *, overwrite: bool) -> bool:
        held(workspace, replace(me, id="other", who="you@there"))
        return real(path, content, overwrite=overwrite)

    workspace.write = write  # type: ignore[method-assign] # a race, played
    with pytest.raises(RefusedError, match="you@there"):
        lock.take(me)
    assert workspace.names(FOLDER) == ["other.json"]


def test_lock_that_was_broken_is_noticed(lock: Lock, me: Holder) -> None:
    lock.take(me)
    assert lock.break_all() == [str(me)]
    with pytest.raises(LostLockError, match="broke the lock"):
        lock.check(me)


def test_lock_that_cannot_be_read_is_not_passed_over(
    lock: Lock, me: Holder, workspace: FakeWorkspace
) -> None:
    workspace.files[f"{FOLDER}/odd.json"] = b"{"
    with pytest.raises(WorkspaceError, match="--break-lock"):
        lock.take(me)


def test_process_lives_while_it_is_the_same(me: Holder) -> None:
    assert lives(me)
    assert born(os.getpid())
    assert not lives(replace(me, born="1"))
    assert not lives(replace(me, process=2**22 - 1))
