"""Tests the comparison of a run's duration with its lower bound, and the reasons why
sessions waited.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from lake_ci.model.results import CheckResult, Status
from lake_ci.report import efficiency
from lake_ci.report.efficiency import Efficiency
from lake_ci.report.overview import Node, Overview, Session, State, Workers
from testing.unit.lake_ci.report import samples

BEGAN = datetime(2026, 1, 31, 2, tzinfo=timezone.utc).timestamp()
JOBS = samples.design().jobs
TWO = Workers(2, 2, BEGAN)


def ran(
    name: str, at: float, seconds: float, processor: float | None = 0.0, **fields: Any
) -> Session:
    """Return a session that started `at` seconds after the start of the run, and used
    `processor` seconds of processor time.
    """
    return sessions(name, at, seconds, processor, **fields)[0]


def sessions(
    name: str, at: float, seconds: float, processor: float | None = 0.0, **fields: Any
) -> tuple[Session, ...]:
    found = []
    for variant in JOBS[name].variants:
        result = samples.result_of(
            variant,
            minute=at / 60,
            seconds=seconds,
            **{"processor_seconds": processor, **fields},
        )
        state = State(result.status.value)
        found.append(
            Session(variant.id, variant.session, name, "", state, result=result)
        )
    return tuple(found)


def run_of(*ran: Session, workers: Workers | None = TWO) -> Overview:
    nodes = tuple(
        Node(
            job.name, "", job.needs, tuple(each for each in ran if each.job == job.name)
        )
        for job in JOBS.values()
    )
    return Overview("r", 1, "push", None, None, False, "", nodes, workers=workers)


def of(*ran: Session, workers: Workers | None = TWO) -> Efficiency:
    found = efficiency.of(run_of(*ran, workers=workers))
    assert found is not None
    return found


REUSED = {"run": "before", "since": "2026-01-30T00:00:00Z"}
FAILED = {"checks": (CheckResult("one", Status.FAILURE),)}
# lint and security start first. docker needs the job `tests`. Only one session of
# `tests` ran.
LINT = ran("lint", 0, 10, 10.0)
TESTS = ran("tests", 12, 60, 100.0)
DOCKER = ran("docker", 75, 25, 5.0)


@pytest.mark.parametrize(
    ("ended", "workers", "bound", "ratio", "unmeasured"),
    [
        pytest.param((LINT, TESTS, DOCKER), TWO, 95, 100 / 95, 0, id="critical path"),
        pytest.param(
            (LINT, TESTS, DOCKER, ran("security", 0, 90, 135.0)),
            TWO,
            125,
            100 / 125,
            0,
            id="processor time by cores",
        ),
        pytest.param(
            (LINT, TESTS, DOCKER, ran("security", 0, 90, 135.0)),
            None,
            95,
            100 / 95,
            0,
            id="a machine for each session",
        ),
        pytest.param(
            (LINT, TESTS, DOCKER, ran("security", 0, 90, 1e4, reused=REUSED)),
            TWO,
            95,
            100 / 95,
            0,
            id="a reused session does not count",
        ),
        pytest.param(
            (ran("lint", 0, 500, 500.0, reused=REUSED), TESTS, DOCKER),
            TWO,
            85,
            100 / 85,
            0,
            id="a path that begins after a reused session",
        ),
        pytest.param(
            (LINT, ran("tests", 12, 60, 100.0, reused=REUSED), DOCKER),
            TWO,
            35,
            100 / 35,
            0,
            id="a path through a reused session",
        ),
        pytest.param(
            (LINT, ran("tests", 12, 60, 100.0, **FAILED)),
            TWO,
            70,
            72 / 70,
            0,
            id="a failed session counts",
        ),
        pytest.param(
            (LINT, TESTS, ran("docker", 75, 0, None, cause="need-failed")),
            TWO,
            70,
            72 / 70,
            0,
            id="a skipped session does not count",
        ),
        pytest.param(
            (LINT, ran("tests", 12, 60, None), DOCKER),
            TWO,
            95,
            100 / 95,
            1,
            id="a session that did not measure processor time",
        ),
        pytest.param(
            (ran("lint", 0, 0.9), ran("tests", 0, 0.9)),
            TWO,
            1.8,
            1.0,
            0,
            id="starts in the same second",
        ),
    ],
)
def test_ratio_is_wall_time_by_the_lower_bound(
    ended: tuple[Session, ...],
    workers: Workers | None,
    bound: float,
    ratio: float,
    unmeasured: int,
) -> None:
    found = of(*ended, workers=workers)
    assert found.bound == pytest.approx(bound)
    assert found.ratio == pytest.approx(ratio)
    assert found.unmeasured == unmeasured


def test_a_run_without_a_session_has_no_efficiency() -> None:
    reused = run_of(ran("lint", 0, 10, reused=REUSED))
    assert efficiency.of(reused) is None
    assert efficiency.text(efficiency.of(reused)) == []


def waited(found: Efficiency, name: str) -> tuple[float, float, float]:
    wait = found.waits[name]
    return wait.worker, wait.prepared, wait.started


def test_waits_are_for_a_worker_for_preparation_or_for_the_start() -> None:
    first, second, *_ = sessions("tests", 12, 60)
    third = sessions("tests", 80, 60, waited_seconds=5.0)[2]
    found = of(ran("lint", 2, 8), first, second, third)
    assert waited(found, "lint") == (0, 0, 2)
    assert waited(found, first.id) == (0, 0, 2)
    # Both workers are busy until second 72. The session starts 8 s later: it waits 5 s
    # for a lock, and 3 s for no recorded reason.
    assert waited(found, third.id) == (62, 5, 3)


def test_more_recorded_than_the_whole_wait_is_cut() -> None:
    # The recorded 30 s of waiting for the lock are longer than the time until the
    # start, 4 s.
    found = of(ran("lint", 4, 8, waited_seconds=30.0))
    assert waited(found, "lint") == (0, 4, 0)


def test_without_shared_workers_no_session_waits_for_one() -> None:
    variants = sessions("tests", 40, 60)
    found = of(ran("lint", 0, 10), *variants, workers=None)
    assert {waited(found, each.id) for each in variants} == {(0, 0, 30)}


def test_a_session_is_ready_when_the_needs_of_its_reused_need_have_ended() -> None:
    reused = ran("tests", 500, 60, reused=REUSED)
    assert (
        of(ran("lint", 0, 10), reused, ran("docker", 13, 5)).waits["docker"].ready
        == BEGAN + 10
    )


def test_text_names_ratio_bounds_and_the_longest_waits() -> None:
    first, second, third, *_ = sessions("tests", 12, 60, 50.0)
    third = sessions("tests", 80, 60, None, waited_seconds=5.0)[2]
    assert efficiency.text(of(ran("lint", 0, 10, 9.0), first, second, third)) == [
        "took 2 min 20 s, 2.00 times the lower bound of 70.0 s",
        "critical path: lint → tests-3.9(java11), 70.0 s; "
        "processor time: 1 min 49 s / 2 cores = 54.5 s, not measured in 1 session",
        "sessions waited 62.0 s for a free worker, 5.0 s for locks and preparation, "
        "7.0 s to start; longest: tests-3.10(java11) 70.0 s, tests-3.9(java11) 2.0 s, "
        "tests-3.9(java17) 2.0 s",
    ]


def test_text_without_any_processor_time_says_so() -> None:
    assert efficiency.text(of(ran("lint", 0, 10, None)))[1] == (
        "critical path: lint, 10.0 s; processor time: not measured"
    )


def test_text_on_machines_of_their_own_has_no_cores() -> None:
    assert efficiency.text(of(ran("lint", 0, 10, 9.0), workers=None)) == [
        "took 10.0 s, 1.00 times the lower bound of 10.0 s",
        "critical path: lint, 10.0 s; processor time: 9.0 s",
    ]
