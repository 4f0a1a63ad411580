from __future__ import annotations

import asyncio

import pytest

from lakekit_api.errors import ProblemError
from lakekit_api.limits import IdleConnections, Slots


def test_one_more_than_the_limit_is_refused_and_told_when_to_come_again() -> None:
    slots = Slots(2)
    with slots.take(), slots.take():
        with pytest.raises(
            ProblemError, match="2 requests are already in progress"
        ) as caught:
            with slots.take():
                raise AssertionError("no slot was left")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})


def test_slot_of_a_request_that_failed_is_free_again() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(KeyError), slots.take():
            raise KeyError
    assert slots.taken == 0


class Wire(asyncio.Transport):
    """A connection that records whether it was closed."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_connection_that_is_idle_longest_is_evicted_first() -> None:
    idle, wires = IdleConnections(), [Wire() for _ in range(3)]
    for wire in wires:
        idle.add(wire)
    idle.remove(wires[0])
    idle.add(wires[0])
    idle.add(wires[1])  # already idle, so its position stays the same
    assert idle.evict()
    assert [wire.aborted for wire in wires] == [False, True, False]
    assert idle.evict() and idle.evict() and not idle.evict()


def test_busy_connection_is_not_evicted() -> None:
    idle, wire = IdleConnections(), Wire()
    idle.add(wire)
    idle.remove(wire)
    idle.remove(wire)
    assert not idle.evict() and not wire.aborted
