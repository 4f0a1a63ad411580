from __future__ import annotations

import time
from typing import List

import pytest

from lakekit import retries
from lakekit.errors import ComputeError, ConflictError
from lakekit.retries import retried


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """How long was waited, in seconds, without waiting."""
    found: List[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


class Attempt:
    """Meets another writer so many times."""

    def __init__(self, conflicts: int) -> None:
        self.left, self.made = conflicts, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.left:
            raise ConflictError("gold.a")
        return "done"


def test_what_meets_another_writer_is_tried_again(waits: List[float]) -> None:
    attempt = Attempt(3)
    assert retried(attempt) == "done" and attempt.made == 4 and len(waits) == 3


def test_tries_and_waits_are_bounded(waits: List[float]) -> None:
    attempt = Attempt(1000)
    with pytest.raises(ConflictError, match="gold.a"):
        retried(attempt)
    assert attempt.made == retries.TRIES and len(waits) == retries.TRIES - 1
    assert max(waits) <= retries.LONGEST and len(set(waits)) > 1


def test_other_errors_end_it_at_once(waits: List[float]) -> None:
    def wrong() -> None:
        raise ComputeError("gold.a", "no")

    with pytest.raises(ComputeError):
        retried(wrong)
    assert not waits
