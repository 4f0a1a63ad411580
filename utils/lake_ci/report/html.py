"""Writes the report as one HTML file, which needs neither a network nor a server.

The file is readable even if its script does not run. The browser executes no script
except the report's own script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lake_ci.report import efficiency, graph, page_data, sections, timeline
from lake_ci.report.overview import Overview
from lake_ci.report.page_data import PageData
from lake_ci.report.rendering import render


def page(overview: Overview, *, source_url: str | None = None) -> str:
    """Return the whole `reports/index.html`.

    Args:
        source_url: the base URL of links to the repository's files, ending in `/`; if
            None, links lead to files below `../`, the folder above the report.

    Raises:
        ValueError: `source_url` is not an https URL that ends in `/`.
    """
    if source_url is not None and not (
        source_url.startswith("https://") and source_url.endswith("/")
    ):
        raise ValueError(
            f"source_url {source_url!r} is not an https:// address that ends in /"
        )
    base = source_url or "../"
    lists = page_data.build(overview, base)
    style, script = asset("report.css"), asset("report.js")
    text = render(
        "page.html",
        run=overview,
        parts=[part for part in _parts(overview, lists, base) if part.body],
        style=style,
        style_digest=digest(style),
        script=script,
        script_digest=digest(script),
        data=lists.json,
    )
    return f"{text}\n"


class _Part(NamedTuple):
    """A section of the page with its id, menu entry, title and HTML.

    The HTML is empty if the section has no content.
    """

    name: str
    word: str
    title: str
    body: str


def _parts(overview: Overview, lists: PageData, base: str) -> Iterator[_Part]:
    """Yield the sections of the page in order.

    The two long lists come last, so that all shorter sections are above the lists.
    """
    failures = sections.failures(overview, base)
    yield _Part("failures", "Failures", "Failures", failures)
    unchecked = sections.not_checked(overview)
    yield _Part("unchecked", "Not checked", "Not checked", unchecked)
    yield _Part("graph", "Graph", "Jobs and their needs", _graph(overview))
    yield _Part("timeline", "Timeline", "Timeline", _timeline(overview))
    yield _Part("jobs", "Jobs", "Jobs", sections.jobs(overview))
    comparison = sections.comparison(overview)
    yield _Part("comparison", "Before", "Compared with the previous run", comparison)
    yield _Part("checks", "Checks", "Every check", sections.checks(overview))
    yield _Part("coverage", "Coverage", "Coverage", sections.coverage(overview, base))
    yield _Part("panels", "Measured", "Measured", sections.panels(overview))
    refused = sections.refused(overview)
    yield _Part("refused", "Refused", "Ignored results", refused)
    findings = render(
        "findings.html", number=lists.findings, left_out=lists.findings_left_out
    )
    yield _Part("findings", "Findings", "Findings", findings)
    tests = render("tests.html", number=lists.tests, left_out=lists.tests_left_out)
    yield _Part("tests", "Tests", "Tests", tests)


@cache
def asset(name: str) -> str:
    """Return the content of a file in this module's folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Return the hash that permits this exact text in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _graph(overview: Overview) -> str:
    return render(
        "figure.html",
        title="Jobs and their needs",
        svg=graph.draw(overview),
        lines=(),
        waits=False,
    )


def _timeline(overview: Overview) -> str:
    svg = timeline.draw(overview)
    if not svg:
        return ""
    lines = efficiency.text(efficiency.of(overview))
    return render("figure.html", title="Timeline", svg=svg, lines=lines, waits=True)
