"""Sends a few generated hostile requests to a running API. The module `hostile` can
send more.
"""

from __future__ import annotations

from pathlib import Path

import lakekit
from testing.integration.lakekit.hostile import attack
from testing.integration.lakekit.test_api import served

REQUESTS = 200
MOST_MB = 64
"""The number of MB by which the memory of the service may grow after the first tenth of
the requests.
"""


def test_hostile_requests_make_the_api_neither_fail_nor_grow(
    sample: Path, tmp_path: Path
) -> None:
    lakekit.run(sample, tmp_path / "lake")
    with served(tmp_path / "lake") as service:
        outcome = attack(service, REQUESTS, seed=21)
    statuses = outcome.statuses
    assert sum(statuses.values()) == REQUESTS and max(statuses) < 500, outcome
    assert not outcome.failures, outcome
    assert min(statuses[status] for status in (200, 400, 404)) >= 10, outcome
    assert outcome.last_mb - outcome.first_mb < MOST_MB, outcome


def test_failure_of_a_service_is_counted_with_its_log(
    sample: Path, tmp_path: Path
) -> None:
    program = "; ".join(
        [
            "import sys",
            "from lakekit_api import endpoints",
            "from lakekit_api.cli import main",
            "endpoints._matches = lambda *_: 1 / 0",
            "main(sys.argv[1:])",
        ]
    )
    lakekit.run(sample, tmp_path / "lake")
    with served(tmp_path / "lake", program=["-c", program]) as service:
        outcome = attack(service, 20, seed=21, cursor="x" * 38)
    assert outcome.statuses[500] and "ZeroDivisionError" in "".join(outcome.failures)
