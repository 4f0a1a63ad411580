"""Tests the dependency graph, which is drawn as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from lake_ci.report import graph
from lake_ci.report.overview import Node, Overview
from testing.unit.lake_ci.report import samples


def test_a_job_stands_one_level_right_of_the_last_of_its_needs(tmp_path: Path) -> None:
    place = graph.layout(samples.overview_of(tmp_path).nodes)
    assert place.levels == {
        "lint": 0,
        "security": 0,
        "terraform": 0,
        "tests": 1,
        "docker": 2,
        "k8s": 3,
        "build": 4,
        "performance": 5,
        "deploy": 5,
        "acceptance": 0,
    }


def test_no_two_things_share_a_place_and_a_long_curve_has_one_of_its_own(
    tmp_path: Path,
) -> None:
    place = graph.layout(samples.overview_of(tmp_path).nodes)
    slots = [slot for column in place.columns for slot in column]
    points = [place.point(slot) for slot in slots]
    assert len(set(points)) == len(points)
    assert [slot for slot in slots if slot[0] == "security"] == [
        ("security", level) for level in range(4)
    ]


def test_a_need_that_is_not_in_the_graph_draws_nothing() -> None:
    overview = Overview(
        "r",
        1,
        "push",
        None,
        None,
        False,
        "",
        (Node("a", "A.", ("gone",), skipped="no"),),
    )
    assert "<path" not in graph.draw(overview)


def test_each_job_is_a_link_that_says_its_state_in_words(tmp_path: Path) -> None:
    plan = samples.leave_realistic(tmp_path)
    svg = ET.fromstring(graph.draw(samples.collect(tmp_path, plan)))
    labels = {link.get("href"): link.get("aria-label") for link in svg.iter("a")}
    assert labels["#job-lint"] == "lint: warning, 9.4 s, on the critical path"
    assert labels["#job-tests"] == "tests: 1 of 6 failed, 96.0 s, on the critical path"
    assert labels["#job-deploy"] == "deploy: skipped"
    assert labels["#job-acceptance"] == "acceptance: not run"
    assert len(labels) == 10
    classes = [path.get("class") for path in svg.iter("path")]
    # The edges of the critical path are drawn last, on top of all other edges.
    assert classes == ["need"] * 7 + ["need on-path"]


def test_hostile_names_stay_text_and_long_ones_are_cut(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path)
    node = replace(overview.nodes[0], name=samples.HOSTILE, sessions=())
    svg = ET.fromstring(graph.draw(replace(overview, nodes=(node,))))
    assert {element.tag for element in svg.iter()} == {"svg", "a", "g", "rect", "text"}
    [name] = [text.text for text in svg.iter("text") if text.get("class") == "name"]
    assert name == "<script>documen…"
