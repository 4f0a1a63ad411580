"""Tests that the unit tests pass in a random order. Each night uses a different
order.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from testing.acceptance.conftest import Checkout

SUITE = [
    f"testing/unit/{each}" for each in ("ci", "images", "lake_ci", "workspace_emulator")
]
LAKEKIT = ["testing/unit/lakekit", "testing/unit/lakekit_api"]


@pytest.fixture(scope="module")
def committed(original: Checkout) -> Checkout:
    original.commit()
    return original


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("session", "job", "folders"),
    [
        ("suite-3.11", "suite-3.11", SUITE),
        ("tests-3.11(java17)", "tests-3.11-java17", LAKEKIT),
    ],
    ids=["suite", "lakekit"],
)
def test_unit_tests_pass_in_a_random_order(
    committed: Checkout,
    record_property: Callable[[str, object], None],
    session: str,
    job: str,
    folders: list[str],
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    record_property("seed", seed)
    shuffled = ["-p", "randomly", f"--randomly-seed={seed}"]
    ran = committed.nox("-s", session, "--", *shuffled, *folders)
    assert f"Using --randomly-seed={seed}" in ran.output
    assert ran.code == 0, ran.output
    assert ran.check(job, "tests").status.value == "success"
