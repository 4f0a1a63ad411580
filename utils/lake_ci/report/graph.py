"""Draws the dependency graph of the jobs as SVG.

The levels are columns from left to right. Curves connect each job with the jobs that it
needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lake_ci.report.overview import Node, Overview, critical_path
from lake_ci.report.rendering import render
from lake_ci.report.terminal import seconds
from lake_ci.report.text import one_line

# The width of a job's box, enough for the text "1 of 6 failed, 1 min 51 s".
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 172, 52, 22, 14, 6
NAME_LENGTH = 16

# A position in a column: the name of a job, and a level. On the job's own level, the
# position is for the job. On a later level, the position is for a curve that starts at
# the job and passes the level.
Slot = tuple[str, int]


@dataclass(frozen=True)
class Layout:
    """The slots of each level from top to bottom, and the level of each job."""

    columns: tuple[tuple[Slot, ...], ...]
    levels: dict[str, int]

    def point(self, slot: Slot) -> tuple[int, int]:
        """Return the upper left corner of a slot."""
        row = self.columns[slot[1]].index(slot)
        return MARGIN + slot[1] * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)


def layout(nodes: tuple[Node, ...]) -> Layout:
    """Place each job on the level to the right of the last job that it needs.

    If a curve passes a level, the layout reserves a slot for the curve. A slot's
    origins are the slots of the previous level from which curves lead to the slot.
    Within a level, slots are sorted by the positions of their origins, so that few
    curves cross.
    """
    levels = _levels(nodes)
    last = _last_levels(nodes, levels)
    columns: list[tuple[Slot, ...]] = []
    for level in range(max(levels.values(), default=-1) + 1):
        here = [node for node in nodes if levels[node.name] <= level <= last[node.name]]
        columns.append(_column(here, level, levels, columns[-1] if columns else ()))
    return Layout(tuple(columns), levels)


def _levels(nodes: Iterable[Node]) -> dict[str, int]:
    levels: dict[str, int] = {}
    for node in nodes:
        needs = [levels[need] for need in node.needs if need in levels]
        levels[node.name] = 1 + max(needs, default=-1)
    return levels


def _last_levels(nodes: Iterable[Node], levels: dict[str, int]) -> dict[str, int]:
    """Return the last level on which each job has a slot.

    The last level is the job's own level, or a later level that the job's curves pass.
    """
    last = dict(levels)
    for node in nodes:
        for need in node.needs:
            if need in levels:
                last[need] = max(last[need], levels[node.name] - 1)
    return last


def _column(
    nodes: Iterable[Node], level: int, levels: dict[str, int], before: tuple[Slot, ...]
) -> tuple[Slot, ...]:
    """Return the slots of a level, sorted by the mean position of their origins."""

    def mean_row(node: Node) -> float:
        rows = [before.index(source) for source in _sources(node, level, levels)]
        return sum(rows) / len(rows) if rows else 0.0

    return tuple((node.name, level) for node in sorted(nodes, key=mean_row))


def _sources(node: Node, level: int, levels: dict[str, int]) -> list[Slot]:
    """Return the slots of the previous level from which curves lead to a slot."""
    if level > levels[node.name]:
        return [(node.name, level - 1)]
    return [_source(need, level, levels) for need in node.needs if need in levels]


def _source(need: str, level: int, levels: dict[str, int]) -> Slot:
    return need, max(levels[need], level - 1)


def draw(overview: Overview) -> str:
    """Return the graph as one `<svg>`.

    The box of a job links to the job's section in the page, and shows the job's state
    as a word and a color.
    """
    place = layout(overview.nodes)
    width = 2 * MARGIN + len(place.columns) * (WIDTH + GAP_X) - GAP_X
    height = (
        2 * MARGIN + max(map(len, place.columns), default=0) * (HEIGHT + GAP_Y) - GAP_Y
    )
    on_path = set(critical_path(overview))
    critical = {session.job for session in overview.sessions if session.id in on_path}
    edges = [
        (need, node.name)
        for node in overview.nodes
        for need in node.needs
        if need in place.levels
    ]
    # Edges of the critical path come last, so that they are drawn above all other
    # edges.
    edges.sort(key=critical.issuperset)
    curves = [
        (_curve(need, name, place), critical.issuperset((need, name)))
        for need, name in edges
    ]
    return render(
        "graph.svg",
        width=width,
        height=height,
        box_width=WIDTH,
        box_height=HEIGHT,
        curves=curves,
        boxes=[_box(node, place, node.name in critical) for node in overview.nodes],
    )


def _curve(need: str, name: str, place: Layout) -> str:
    """Return the SVG path from a job's right side to a dependent job's left side."""
    start, end = place.levels[need], place.levels[name]
    x, y = place.point((need, start))
    path = f"M{x + WIDTH} {y + HEIGHT // 2}"
    for level in range(start + 1, end + 1):
        to_x, to_y = place.point((need, level) if level < end else (name, end))
        middle, to_y = to_x - GAP_X // 2, to_y + HEIGHT // 2
        path += f"C{middle} {y + HEIGHT // 2} {middle} {to_y} {to_x} {to_y}"
        y = to_y - HEIGHT // 2
        if level < end:
            path += f"H{to_x + WIDTH}"
    return path


class _Box(NamedTuple):
    """A job in the graph; `x` and `y` are the coordinates of its upper left corner."""

    node: Node
    critical: bool
    x: int
    y: int
    label: str
    short: str
    words: str


def _box(node: Node, place: Layout, critical: bool) -> _Box:
    x, y = place.point((node.name, place.levels[node.name]))
    name = one_line(node.name)
    short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
    words = f"{_words(node)}, {seconds(node.seconds)}" if node.seconds else _words(node)
    label = f"{name}: {words}" + (", on the critical path" if critical else "")
    return _Box(node, critical, x, y, label, short, words)


def _words(node: Node) -> str:
    if node.skipped is not None:
        return "not run"
    if len(node.sessions) == 1:
        return node.state.word
    same = sum(session.state is node.state for session in node.sessions)
    return f"{same} of {len(node.sessions)} {node.state.word}"
