"""Draws a timeline of a run's sessions as SVG, and marks the critical path."""

from __future__ import annotations

from typing import NamedTuple

from lake_ci.report import efficiency
from lake_ci.report.efficiency import NOTABLE_SECONDS, Wait
from lake_ci.report.overview import Overview, Session, critical_path
from lake_ci.report.rendering import render
from lake_ci.report.terminal import seconds
from lake_ci.report.text import one_line

LABEL, PLOT, AFTER, ROW, BAR, AXIS = 190, 620, 140, 26, 16, 24
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
TICKS = 8
NAME_LENGTH = 24


class _Scale(NamedTuple):
    """Converts a time, in seconds since 1970 UTC, to a position on the axis."""

    first: float
    by_second: float

    def x(self, time: float) -> float:
        return LABEL + (time - self.first) * self.by_second


class _Bar(NamedTuple):
    """The row of a session: when the session ran, and how long and why it waited."""

    session: Session
    critical: bool
    y: int
    x: float
    width: float
    label: str
    short: str
    words: str
    waited: str
    waited_x: float
    waited_width: float


def draw(overview: Overview) -> str:
    """Return an SVG of the sessions that ran, by start time, or an empty text."""
    found = efficiency.of(overview)
    if found is None:
        return ""
    ran = [(session.span, session) for session in overview.sessions if session.span]
    ran.sort(key=lambda entry: entry[0])
    total = max(end for (_, end), _ in ran) - overview.began
    scale = _Scale(overview.began, PLOT / total)
    path = set(critical_path(overview))
    bars = [
        _bar(session, row, span, found.waits[session.id], scale, session.id in path)
        for row, (span, session) in enumerate(ran)
    ]
    step = next(
        (step for step in STEPS if total / step <= TICKS),
        STEPS[-1] * max(1, int(total / STEPS[-1])),
    )
    return render(
        "timeline.svg",
        width=LABEL + PLOT + AFTER,
        height=AXIS + len(ran) * ROW + 4,
        axis=AXIS,
        row_height=ROW,
        bar_height=BAR,
        ticks=[
            (LABEL + at * scale.by_second, _time(at))
            for at in range(0, int(total) + 1, step)
        ],
        bars=bars,
    )


def _bar(
    session: Session,
    row: int,
    span: tuple[float, float],
    wait: Wait,
    scale: _Scale,
    critical: bool,
) -> _Bar:
    name = one_line(session.name)
    words = f"{session.state.word}, {seconds(session.seconds)}"
    is_notable = wait.seconds >= NOTABLE_SECONDS
    return _Bar(
        session,
        critical,
        AXIS + row * ROW,
        scale.x(span[0]),
        max((span[1] - span[0]) * scale.by_second, 2.0),
        f"{name}: {words}" + (", on the critical path" if critical else ""),
        name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…",
        words,
        efficiency.reasons([wait]) if is_notable else "",
        scale.x(wait.ready),
        wait.seconds * scale.by_second,
    )


def _time(at: int) -> str:
    """Return the label of a tick, such as `40 s`, `50 min` or `10 h`."""
    if at < 60:
        return f"{at} s"
    return f"{at / 60:g} min" if at < 3600 else f"{at / 3600:g} h"
