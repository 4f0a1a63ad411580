from __future__ import annotations

from typing import List

import pytest

from lakekit.engines import retries
from lakekit.engines.retries import retried
from lakekit.errors import ComputeError, ConflictError


class Attempt:
    """A callable that raises ConflictError a given number of times, and then
    succeeds.
    """

    def __init__(self, conflicts: int) -> None:
        self.left, self.made = conflicts, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.left:
            raise ConflictError("gold.a")
        return "done"


def test_what_meets_another_writer_is_tried_again() -> None:
    attempt = Attempt(3)
    waits: List[float] = []
    assert (
        retried(attempt, waits.append) == "done"
        and attempt.made == 4
        and len(waits) == 3
    )


def test_tries_and_waits_are_bounded() -> None:
    attempt = Attempt(1000)
    waits: List[float] = []
    with pytest.raises(ConflictError, match="gold.a"):
        retried(attempt, waits.append)
    assert attempt.made == retries.TRIES and len(waits) == retries.TRIES - 1
    assert max(waits) <= retries.LONGEST and len(set(waits)) > 1


def test_other_errors_end_it_at_once() -> None:
    waits: List[float] = []

    def wrong() -> None:
        raise ComputeError("gold.a", "no")

    with pytest.raises(ComputeError):
        retried(wrong, waits.append)
    assert not waits
