from __future__ import annotations

import pytest

from lakekit_api.errors import Problem
from lakekit_api.limits import Slots


def test_one_more_than_the_limit_is_refused_and_told_when_to_come_again() -> None:
    slots = Slots(2)
    with slots.take(), slots.take():
        with pytest.raises(Problem, match="2 requests are in hand") as caught:
            with slots.take():
                raise AssertionError("no slot was left")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})


def test_slot_of_a_request_that_failed_is_free_again() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(KeyError), slots.take():
            raise KeyError
    assert slots.taken == 0
