"""The session with the longest path of dependent sessions starts first, whatever the
order of declaration.
"""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from nox._resolver import lazy_stable_topo_sort

from lake_ci.model.schedule import (
    Estimate,
    critical_path,
    longest_paths,
    start_order,
)

DIAMOND = {"lint": [], "slow": [], "tests": ["lint"], "build": ["tests", "slow"]}


@pytest.mark.parametrize(
    ("needs", "seconds", "order", "path"),
    [
        pytest.param({}, {}, [], [], id="nothing"),
        pytest.param(
            {"short": [], "long": []},
            {"short": 1, "long": 9},
            ["long", "short"],
            ["long"],
            id="independent",
        ),
        pytest.param(
            {"alone": [], "first": [], "last": ["first"]},
            {"alone": 5, "first": 1, "last": 9},
            ["first", "last", "alone"],
            ["first", "last"],
            id="a short session before a long one",
        ),
        pytest.param(
            DIAMOND,
            {"lint": 1, "slow": 20, "tests": 30, "build": 5},
            ["lint", "tests", "slow", "build"],
            ["lint", "tests", "build"],
            id="diamond",
        ),
        pytest.param(
            DIAMOND,
            {"lint": 1, "slow": 90, "tests": 30, "build": 5},
            ["slow", "lint", "tests", "build"],
            ["slow", "build"],
            id="diamond with another critical path",
        ),
        pytest.param(
            {"a(java11)": [], "a(java17)": [], "b": ["a(java11)", "a(java17)"]},
            {"a(java11)": 2, "a(java17)": 3, "b": 1},
            ["a(java17)", "a(java11)", "b"],
            ["a(java17)", "b"],
            id="matrix",
        ),
        pytest.param(
            {"one": [], "two": ["one"], "three": ["two"]},
            {},
            ["one", "two", "three"],
            ["one", "two", "three"],
            id="equal paths keep their order",
        ),
        pytest.param(
            {"deploy": ["build"], "security": []},
            {"deploy": 3, "security": 2},
            ["deploy", "security"],
            ["deploy"],
            id="a need that is not planned",
        ),
    ],
)
def test_sessions_start_by_the_longest_path(
    needs: dict[str, list[str]],
    seconds: dict[str, float],
    order: list[str],
    path: list[str],
) -> None:
    assert start_order(needs, seconds) == order
    assert critical_path(needs, seconds) == path


def test_longest_paths_sum_seconds_up_to_the_last_dependent() -> None:
    seconds = {"lint": 1, "slow": 20, "tests": 30, "build": 5}
    assert longest_paths(DIAMOND, seconds) == {
        "lint": 36,
        "slow": 25,
        "tests": 35,
        "build": 5,
    }


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, float]]:
    names = [str(number) for number in range(draw(st.integers(1, 12)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }
    return needs, {name: draw(st.floats(0, 1e6)) for name in names}


@given(graphs())
def test_nox_keeps_the_order_as_needs_come_first(
    graph: tuple[dict[str, list[str]], dict[str, float]],
) -> None:
    needs, seconds = graph
    order = start_order(needs, seconds)
    assert sorted(order) == sorted(needs)
    assert list(lazy_stable_topo_sort({**needs, "": order}, "")) == order


@pytest.mark.parametrize(
    ("path", "total", "workers", "seconds"),
    [(60, 80, 2, 60), (60, 200, 2, 100), (60, 200, 1, 200), (60, 200, 8, 60)],
)
def test_an_estimate_is_the_critical_path_or_the_work_by_workers(
    path: float, total: float, workers: int, seconds: float
) -> None:
    none: frozenset[str] = frozenset()
    assert Estimate((), none, none, (), path, total, workers).seconds == seconds
