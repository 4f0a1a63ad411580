"""Draws when each session ran and waited, as SVG, with the critical path marked."""

from __future__ import annotations

from html import escape

from lake_ci.report import efficiency
from lake_ci.report.efficiency import NOTABLE_SECONDS, Wait
from lake_ci.report.graph import anchor
from lake_ci.report.overview import Overview, Session, critical_path
from lake_ci.report.terminal import seconds
from lake_ci.report.text import one_line

LABEL, PLOT, AFTER, ROW, BAR, AXIS = 190, 620, 140, 26, 16, 24
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
TICKS = 8
NAME_LENGTH = 24


def draw(overview: Overview) -> str:
    """The sessions that ran, by their start; an empty text where none did."""
    found = efficiency.of(overview)
    if found is None:
        return ""
    ran = [(session.span, session) for session in overview.sessions if session.span]
    ran.sort(key=lambda entry: entry[0])
    first = overview.began
    total = max(end for (_, end), _ in ran) - first
    scale = PLOT / total
    height = AXIS + len(ran) * ROW + 4
    width = LABEL + PLOT + AFTER
    path = set(critical_path(overview))
    rows = [
        _bar(
            session,
            AXIS + row * ROW,
            (start - first) * scale,
            (end - start) * scale,
            session.id in path,
        )
        + _wait(found.waits[session.id], AXIS + row * ROW, first, scale)
        for row, ((start, end), session) in enumerate(ran)
    ]
    step = next(
        (step for step in STEPS if total / step <= TICKS),
        STEPS[-1] * max(1, int(total / STEPS[-1])),
    )
    lines = [
        _tick(at, LABEL + at * scale, height) for at in range(0, int(total) + 1, step)
    ]
    return (
        f'<svg class="timeline" width="{width}" height="{height}" viewBox="0 0 {width}'
        f' {height}" role="group" aria-label="When each session'
        f' ran">{"".join(lines)}{"".join(rows)}</svg>'
    )


def _wait(wait: Wait, y: int, first: float, scale: float) -> str:
    """A thin bar from the end of a session's needs to its start."""
    if wait.seconds < NOTABLE_SECONDS:
        return ""
    x, width = LABEL + (wait.ready - first) * scale, wait.seconds * scale
    return (
        f'<rect class="wait" x="{x:.1f}" y="{y + 12}" width="{width:.1f}" height="2">'
        f"<title>waited {escape(efficiency.reasons([wait]))}</title></rect>"
    )


def _bar(session: Session, y: int, offset: float, length: float, critical: bool) -> str:
    name = one_line(session.name)
    short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
    took = seconds(session.seconds)
    label = f"{name}: {session.state.word}, {took}" + (
        ", on the critical path" if critical else ""
    )
    bar = max(length, 2.0)
    return (
        f'<a href="#{anchor(session.id)}" aria-label="{escape(label)}">'
        f'<g class="{session.state.value}{" on-path" if critical else ""}">'
        f'<rect class="row" x="0" y="{y}" width="{LABEL + PLOT + AFTER}"'
        f' height="{ROW}"/>'
        f'<text class="name" x="0" y="{y + 17}">{escape(short)}</text>'
        f'<rect class="bar" x="{LABEL + offset:.1f}" y="{y + 5}"'
        f' width="{bar:.1f}" height="{BAR}" rx="3"/>'
        f'<text class="words" x="{LABEL + offset + bar + 6:.1f}" y="{y + 17}">'
        f"{session.state.word}, {escape(took)}</text></g></a>"
    )


def _tick(at: int, x: float, height: int) -> str:
    word = (
        f"{at} s"
        if at < 60
        else f"{at / 60:g} min" if at < 3600 else f"{at / 3600:g} h"
    )
    return (
        f'<path class="tick" d="M{x:.1f} {AXIS - 6}V{height}"/>'
        f'<text class="words" x="{x:.1f}" y="12">{word}</text>'
    )
