from __future__ import annotations

from typing import List, Tuple

import pytest

from lakekit.commands.progress import Steps


def test_step_is_reported_before_it_starts_and_measured_when_it_fails() -> None:
    now, seen = [5.0], []
    steps = Steps(lambda *step: seen.append(step), lambda: now[0])
    steps.total = 2
    expected: List[Tuple[str, int, int]] = [("t: read a.csv", 0, 2)]
    with pytest.raises(ValueError), steps.step("t", "read a.csv"):
        assert seen == expected
        now[0] += 2
        raise ValueError
    with steps.measured("t"):
        now[0] += 1
    steps.finish()
    assert seen == [*expected, ("", 2, 2)]
    assert (steps.seconds("t"), steps.seconds("other")) == (3, 0)
