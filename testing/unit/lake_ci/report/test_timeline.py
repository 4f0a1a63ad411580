"""Tests the timeline of the sessions, which is drawn as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.report import timeline
from lake_ci.report.overview import Node, Overview, Session, State, Workers
from testing.unit.lake_ci.report import samples


def test_sessions_stand_by_their_start_and_skipped_ones_are_not_there(
    tmp_path: Path,
) -> None:
    plan = samples.leave_realistic(tmp_path)
    svg = ET.fromstring(timeline.draw(samples.collect(tmp_path, plan)))
    labels = [link.get("aria-label") for link in svg.iter("a")]
    assert labels[0] == "lint: warning, 9.4 s, on the critical path"
    assert labels[-1] == "tests-3.11(java17): passed, 96.0 s, on the critical path"
    assert len(labels) == 9
    assert [text.text for text in svg if text.tag == "text"] == [
        "0 s",
        "1 min",
        "2 min",
        "3 min",
        "4 min",
    ]


def test_a_thin_bar_leads_from_the_needs_to_a_late_start(tmp_path: Path) -> None:
    plan = samples.leave_realistic(tmp_path)
    began = samples.collect(tmp_path, plan).began
    overview = samples.collect(tmp_path, plan, workers=Workers(8, 8, began - 4))
    svg = ET.fromstring(timeline.draw(overview))
    waits = [each for each in svg.iter("rect") if each.get("class") == "wait"]
    titles = ["".join(each.itertext()) for each in waits]
    # lint, security and terraform start 4 s after the start of the run. The first
    # session of `tests` starts 2.6 s after the end of lint.
    assert titles[:3] == ["waited 4.0 s to start"] * 3
    assert titles[3] == "waited 2.6 s to start"
    lint, bar = waits[0], next(
        each for each in svg.iter("rect") if each.get("class") == "bar"
    )
    end = float(lint.get("x", 0)) + float(lint.get("width", 0))
    assert end == pytest.approx(float(bar.get("x", 0)), abs=0.2)


def test_a_run_in_which_nothing_ran_has_no_timeline() -> None:
    assert timeline.draw(Overview("r", 1, "push", None, None, False, "")) == ""


@pytest.mark.parametrize(
    ("seconds", "last"),
    [
        (0.5, "0 s"),
        (7, "7 s"),
        (45, "40 s"),
        (3000, "50 min"),
        (40000, "10 h"),
        (400000, "104 h"),
    ],
)
def test_the_axis_fits_the_length_of_the_run(seconds: float, last: str) -> None:
    variant = samples.design().jobs["lint"].variants[0]
    result = samples.result_of(variant, seconds=seconds)
    session = Session("lint", samples.HOSTILE, "lint", "", State.SUCCESS, result=result)
    overview = Overview(
        "r", 1, "push", None, None, False, "", (Node("lint", "", (), (session,)),)
    )
    svg = ET.fromstring(timeline.draw(overview))
    ticks = [text.text for text in svg if text.tag == "text"]
    assert ticks[-1] == last
    assert len(ticks) <= 14
    assert replace(session, result=None).span is None
