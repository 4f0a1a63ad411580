"""Trying a commit again when another writer was first: a bounded number of times, after
waits no two writers share.
"""

from __future__ import annotations

import random
import time
from typing import Callable, TypeVar

from lakekit.errors import ConflictError

Result = TypeVar("Result")
TRIES = 20
LONGEST = 0.4
"""Seconds that a try waits at most; the first ones wait less."""


def retried(
    attempt: Callable[[], Result],
    sleep: Callable[[float], object] = time.sleep,
) -> Result:
    """What a call returns that is made again on the table as it then is. Raises the
    last try's ConflictError.
    """
    for before in range(TRIES - 1):
        try:
            return attempt()
        except ConflictError:
            sleep(random.uniform(0.0, min(LONGEST, 0.02 * (before + 1))))
    return attempt()
