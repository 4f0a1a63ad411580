"""The history is drawn as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from lake_ci.checks.performance.history import Figures, Measurement, Record
from lake_ci.checks.performance.trend import draw_trend

SVG = "{http://www.w3.org/2000/svg}"


def record(
    commit: str, seconds: float, *, cores: int = 2, name: str = "merge"
) -> Record:
    machine = {"processor": "A", "cores": cores}
    return Record(
        commit,
        None,
        False,
        "2026-01-31T02:00:00Z",
        machine,
        {name: Measurement({"": Figures(seconds)})},
    )


def test_no_runs_are_no_picture() -> None:
    assert draw_trend([]) == ""


def test_each_benchmark_has_a_line_with_a_point_a_run() -> None:
    root = ET.fromstring(
        draw_trend(
            [record("a" * 40, 1.0), record("b" * 40, 0.5), record("c" * 40, 1.0)]
        )
    )
    points = root.findall(f"{SVG}circle")
    titles = [point.findtext(f"{SVG}title") for point in points]
    assert titles == [
        "aaaaaaaaaaaa: 1.0 s",
        "bbbbbbbbbbbb: 0.5 s",
        "cccccccccccc: 1.0 s",
    ]
    heights = [float(point.get("cy", "")) for point in points]
    assert heights[0] == heights[2] < heights[1]
    assert [text.text for text in root.findall(f"{SVG}text")] == ["merge", "1.0 s"]


def test_runs_on_another_machine_are_left_out() -> None:
    text = draw_trend([record("a" * 40, 9.0, cores=96), record("b" * 40, 1.0)])
    assert "aaaa" not in text and "bbbb" in text


def test_a_benchmark_that_some_runs_lack_has_the_points_it_has() -> None:
    text = draw_trend(
        [
            record("a" * 40, 1.0),
            record("b" * 40, 1.0, name="api"),
            replace(record("c" * 40, 1.0)),
        ]
    )
    root = ET.fromstring(text)
    assert len(root.findall(f"{SVG}circle")) == 3
    assert len(root.findall(f"{SVG}path")) == 2


def test_names_are_escaped() -> None:
    assert "<script>" not in draw_trend([record("<script>", 1.0, name="<script>")])
