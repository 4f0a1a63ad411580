"""The report as one HTML file: no network, no server, readable without its script and
safe to open with it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lake_ci.model.results import count
from lake_ci.report import efficiency, embedded, graph, sections, timeline
from lake_ci.report.embedded import Embedded
from lake_ci.report.overview import Overview, State
from lake_ci.report.sections import e
from lake_ci.report.terminal import seconds

CRITICAL = (
    '<p class="note">Strong outline: the critical path, the longest chain of needs.</p>'
)


def page(overview: Overview, *, source_url: str | None = None) -> str:
    """The whole `reports/index.html`.

    Args:
        source_url: the address below which the repository's files are shown, ending in
            `/`; None: the files beside the report, `../`.

    Raises:
        ValueError: `source_url` is no https address that ends in `/`.
    """
    if source_url is not None and not (
        source_url.startswith("https://") and source_url.endswith("/")
    ):
        raise ValueError(
            f"source_url {source_url!r} is no https:// address that ends in /"
        )
    base = source_url or "../"
    lists = embedded.embed(overview, base)
    shown = [part for part in _parts(overview, lists, base) if part.body]
    menu = "".join(
        f'<li><a href="#{part.name}">{e(part.word)}</a></li>' for part in shown
    )
    main = "".join(
        f'<section id="{part.name}" aria-labelledby="{part.name}-title">'
        f'<h2 id="{part.name}-title">{e(part.title)}</h2>{part.body}</section>'
        for part in shown
    )
    script = asset("report.js")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n{_head(overview)}\n<body>\n'
        '<a class="skip" href="#main">Skip to the report</a>\n'
        f"{_header(overview)}\n"
        f'<nav aria-label="Sections"><ul>{menu}</ul></nav>\n<main id="main"'
        f' tabindex="-1">{main}</main>\n'
        f"<footer><p>Made {e(overview.made)} from the results under"
        " <code>reports/</code>.</p></footer>\n"
        '<script type="application/json"'
        f' id="data">{lists.json}</script>\n<script>{script}</script>\n'
        "</body>\n</html>\n"
    )


class _Part(NamedTuple):
    """A section of the page: its id, its word in the menu, its title and its HTML,
    empty where there is nothing to show.
    """

    name: str
    word: str
    title: str
    body: str


def _parts(overview: Overview, lists: Embedded, base: str) -> Iterator[_Part]:
    """The sections in their order. What is short and bounded stands first; the two long
    lists stand last, where nothing is below them to be missed.
    """
    failures = sections.failures(overview, base)
    yield _Part("failures", "Failures", "Failures", failures)
    unchecked = sections.not_checked(overview)
    yield _Part("unchecked", "Not checked", "Not checked", unchecked)
    yield _Part("graph", "Graph", "Jobs and their needs", _graph(overview))
    yield _Part("timeline", "Timeline", "Timeline", _timeline(overview))
    yield _Part("jobs", "Jobs", "Jobs", sections.jobs(overview))
    comparison = sections.comparison(overview)
    yield _Part("comparison", "Before", "Compared with the run before", comparison)
    yield _Part("checks", "Checks", "Every check", sections.checks(overview))
    yield _Part("coverage", "Coverage", "Coverage", sections.coverage(overview, base))
    yield _Part("panels", "Measured", "Measured", sections.panels(overview))
    refused = sections.refused(overview)
    yield _Part("refused", "Refused", "Results that do not count", refused)
    yield _Part("findings", "Findings", "Findings", _findings(lists))
    yield _Part("tests", "Tests", "Tests", _tests(lists))


def _head(overview: Overview) -> str:
    """The head, whose policy lets the page's own style and script through alone."""
    style = asset("report.css")
    policy = (
        f"default-src 'none'; style-src '{digest(style)}'; script-src"
        f" '{digest(asset('report.js'))}'; base-uri 'none'; form-action 'none'"
    )
    title = f"{overview.state.word.capitalize()}: {overview.event}"
    title += f" on {overview.branch}" if overview.branch else ""
    title += f", {overview.commit[:7]}" if overview.commit else ""
    return (
        '<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{e(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{e(title)}</title>\n<style>{style}</style>\n</head>"
    )


@cache
def asset(name: str) -> str:
    """A file that lies beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The hash by which a content security policy lets exactly this text through."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _header(overview: Overview) -> str:
    facts = "".join(
        f"<div><dt>{e(name)}</dt><dd>{value}</dd></div>"
        for name, value in _facts(overview)
    )
    live = (
        " The run goes on; this is how it stands."
        if overview.state is State.RUNNING
        else ""
    )
    words = overview.state.word.capitalize()
    return (
        f'<header class="{overview.state.value}"><h1>'
        f'<span aria-hidden="true">{overview.state.symbol}</span> {e(words)}</h1>'
        f'<p class="tally">{e(overview.tally)}.{live}</p><dl>{facts}</dl></header>'
    )


def _facts(overview: Overview) -> Iterator[tuple[str, str]]:
    yield "Event", e(overview.event)
    yield "Branch", e(overview.branch or "none")
    dirty = " with uncommitted changes" if overview.dirty else ""
    yield "Commit", f"<code>{e((overview.commit or 'none')[:12])}</code>{dirty}"
    yield "Run", f"<code>{e(overview.run)}</code>" + (
        f", attempt {overview.attempt}" if overview.attempt > 1 else ""
    )
    yield "Duration", e(seconds(overview.seconds))


def _figure(title: str, svg: str) -> str:
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{e(title)},'
        f' scrollable">{svg}</div>'
    )


def _graph(overview: Overview) -> str:
    return CRITICAL + _figure("Jobs and their needs", graph.draw(overview))


def _timeline(overview: Overview) -> str:
    svg = timeline.draw(overview)
    if not svg:
        return ""
    words = "<br>".join(map(e, efficiency.text(efficiency.of(overview))))
    note = '<p class="note">Thin line: the needs had ended, the session waited.</p>'
    return f"<p>{words}</p>{CRITICAL}{note}" + _figure("Timeline", svg)


def _findings(lists: Embedded) -> str:
    if not lists.findings:
        return "<p>No tool found anything.</p>"
    left_out = ""
    if lists.findings_left_out:
        rest = count(lists.findings_left_out, "more finding")
        left_out = (
            f'<p class="note">{rest} are in the result.json of their jobs alone.</p>'
        )
    return left_out + _list(
        "findings",
        ("job", "tool", "severity"),
        f"All {lists.findings:,} stand in the result.json of each job.",
    )


def _tests(lists: Embedded) -> str:
    if not lists.tests:
        return ""
    left_out = ""
    if lists.tests_left_out:
        rest = count(lists.tests_left_out, "faster test")
        left_out = (
            f'<p class="note">{rest} that did not fail are in the junit.xml of their'
            " jobs alone.</p>"
        )
    return left_out + _list(
        "tests", ("job", "outcome"), "All stand in the junit.xml of each job."
    )


def _list(name: str, choices: tuple[str, ...], elsewhere: str) -> str:
    """A list that the script fills, with a filter for each choice and one for text."""
    controls = "".join(
        f'<label>{choice.title()} <select name="{choice}">'
        '<option value="">all</option></select></label>'
        for choice in choices
    )
    controls += (
        '<label class="wide">Text <input type="search" name="text"'
        ' autocomplete="off"></label>'
    )
    return (
        f'<p id="{name}-without">This list needs JavaScript. What failed stands under'
        f" Failures. {e(elsewhere)}</p>"
        f'<form id="{name}-filters" class="filters" aria-label="Filter the {name}"'
        f' hidden>{controls}<button type="reset">Clear</button></form>'
        f'<p id="{name}-count" role="status"></p>'
        f'<button type="button" id="{name}-earlier" hidden>Show earlier</button>'
        f'<ol id="{name}-list" class="rows"></ol>'
        f'<button type="button" id="{name}-more" hidden>Show more</button>'
    )
