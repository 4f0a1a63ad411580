"""Retries a commit after a conflict with another writer. The number of retries is
limited, and the delays before the retries are random.
"""

from __future__ import annotations

import random
import time
from typing import Callable, TypeVar

from lakekit.errors import ConflictError

Result = TypeVar("Result")
TRIES = 20
LONGEST = 0.4
"""The maximum delay before a retry, in seconds. The first retries have shorter delays.
"""


def retried(
    attempt: Callable[[], Result],
    sleep: Callable[[float], object] = time.sleep,
) -> Result:
    """Call `attempt` again while it raises ConflictError, and return its result.

    If the last attempt fails as well, its ConflictError is raised.
    """
    for before in range(TRIES - 1):
        try:
            return attempt()
        except ConflictError:
            sleep(random.uniform(0.0, min(LONGEST, 0.02 * (before + 1))))
    return attempt()
