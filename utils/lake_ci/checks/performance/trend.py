"""The history of the benchmarks as one picture: a line for each, oldest run at the
left.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lake_ci.checks.performance.history import Record, same_machine
from lake_ci.report.terminal import seconds

SHOWN = 40
WIDTH, HEIGHT, MARGIN, LABEL = 720, 64, 12, 200
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:currentColor}"
    "path{fill:none;stroke:#2563eb;stroke-width:2}"
    "circle{fill:#2563eb}line{stroke:currentColor;opacity:.2}"
)


def draw(records: Sequence[Record]) -> str:
    """The newest runs on the machine of the last one, as the text of an SVG file; empty
    where there are none.

    Each line has a scale of its own, from zero to its slowest run, so that its slope
    can be read as a share.
    """
    if not records:
        return ""
    shown = [
        each for each in records if same_machine(each.machine, records[-1].machine)
    ][-SHOWN:]
    names = sorted({name for record in shown for name in record.benchmarks})
    height = len(names) * HEIGHT + 2 * MARGIN
    rows = "".join(
        _row(name, shown, MARGIN + index * HEIGHT) for index, name in enumerate(names)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-label="Seconds of each'
        f' benchmark, oldest run at the left"><style>{STYLE}</style>{rows}</svg>\n'
    )


def _points(name: str, records: Sequence[Record]) -> list[tuple[int, float, str]]:
    """The position, the seconds and the commit of each run of a benchmark."""
    return [
        (
            index,
            record.benchmarks[name].series[""].seconds,
            record.commit or "no commit",
        )
        for index, record in enumerate(records)
        if name in record.benchmarks and "" in record.benchmarks[name].series
    ]


def _row(name: str, records: Sequence[Record], top: float) -> str:
    points = _points(name, records)
    most = max((value for _, value, _ in points), default=0.0) or 1.0
    step = (WIDTH - LABEL - 2 * MARGIN) / max(1, len(records) - 1)
    bottom = top + HEIGHT - MARGIN
    places = [
        (
            LABEL + index * step,
            bottom - value / most * (HEIGHT - 2 * MARGIN),
            value,
            commit,
        )
        for index, value, commit in points
    ]
    line = " ".join(
        f"{'L' if index else 'M'}{x:.1f} {y:.1f}"
        for index, (x, y, _, _) in enumerate(places)
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(commit[:12])}:'
        f" {seconds(value)}</title></circle>"
        for x, y, value, commit in places
    )
    last = seconds(points[-1][1]) if points else ""
    return (
        f'<text x="{MARGIN}" y="{top + HEIGHT / 2 - 4:.0f}">{escape(name)}</text>'
        f'<text x="{MARGIN}" y="{top + HEIGHT / 2 + 12:.0f}"'
        f' opacity=".7">{escape(last)}</text>'
        f'<line x1="{LABEL}" x2="{WIDTH - MARGIN}" y1="{bottom}" y2="{bottom}"/>'
        f'<path d="{line}"/>{dots}'
    )
