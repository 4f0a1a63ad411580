"""Draws the history of all benchmarks as SVG, with one line for each benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lake_ci.checks.performance.history import Record, same_machine
from lake_ci.report.rendering import render

SHOWN = 40
WIDTH, HEIGHT, MARGIN, LABEL = 720, 64, 12, 200


class _Point(NamedTuple):
    """A run of a benchmark; `x` and `y` are the position in the picture."""

    x: float
    y: float
    seconds: float
    commit: str


class _Row(NamedTuple):
    """The line of a benchmark, which is drawn between `top` and `bottom`."""

    name: str
    top: int
    bottom: int
    points: Sequence[_Point]


def draw_trend(records: Sequence[Record]) -> str:
    """Return an SVG of the newest runs on the machine of the last run.

    The scale of a line goes from zero to the slowest run of the benchmark, so that the
    line's slope shows the relative change.
    """
    if not records:
        return ""
    shown = [
        each for each in records if same_machine(each.machine, records[-1].machine)
    ][-SHOWN:]
    names = sorted({name for record in shown for name in record.benchmarks})
    text = render(
        "trend.svg",
        width=WIDTH,
        height=len(names) * HEIGHT + 2 * MARGIN,
        row_height=HEIGHT,
        margin=MARGIN,
        label=LABEL,
        rows=[
            _row(name, shown, MARGIN + index * HEIGHT)
            for index, name in enumerate(names)
        ],
    )
    return f"{text}\n"


def _row(name: str, records: Sequence[Record], top: int) -> _Row:
    measured = [
        (index, record.benchmarks[name].series[""].seconds, record.commit)
        for index, record in enumerate(records)
        if name in record.benchmarks and "" in record.benchmarks[name].series
    ]
    most = max((value for _, value, _ in measured), default=0.0) or 1.0
    step = (WIDTH - LABEL - 2 * MARGIN) / max(1, len(records) - 1)
    bottom = top + HEIGHT - MARGIN
    points = [
        _Point(
            LABEL + index * step,
            bottom - value / most * (HEIGHT - 2 * MARGIN),
            value,
            commit or "no commit",
        )
        for index, value, commit in measured
    ]
    return _Row(name, top, bottom, points)
