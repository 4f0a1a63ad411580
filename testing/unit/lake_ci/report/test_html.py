"""Tests the text of the HTML page. testing/acceptance/test_report.py tests the page in
a browser.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report import html
from lake_ci.report.overview import Overview, Past, Refused, Session, State, TestCase
from testing.unit.lake_ci.report import samples

EMPTY = Overview("run", 1, "schedule", None, None, False, "2026-01-31T02:10:00Z")
VOID = {"meta", "link", "br", "input"}


class Document(HTMLParser):
    """Collects all elements with attributes and texts, and checks that all elements are
    closed.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, tag: str, name: str) -> list[str]:
        return [
            str(attributes[name])
            for element, attributes in self.elements
            if element == tag and name in attributes
        ]


@pytest.fixture
def bad_day(tmp_path: Path) -> Overview:
    plan = samples.leave_realistic(tmp_path)
    return samples.collect(tmp_path, plan)


def hostile(tmp_path: Path) -> Overview:
    """Return an overview in which every field is an attack."""
    bad = samples.HOSTILE
    overview = samples.overview_of(tmp_path)
    node = overview.nodes[0]
    past = Past(bad, bad, bad, bad, bad, State.SUCCESS, 1.0, {})
    return replace(
        overview,
        run=bad,
        event=bad,
        branch=bad,
        commit=bad,
        made=bad,
        nodes=(
            replace(node, sessions=(hostile_session(node.sessions[0]),)),
            replace(overview.nodes[1], sessions=(), skipped=bad),
        ),
        refused=(Refused(bad, bad),),
        past=(past,),
        notes=(bad,),
    )


def hostile_session(session: Session) -> Session:
    """Return a failed session in which every field is an attack."""
    bad = samples.HOSTILE
    found = Finding(bad, bad, bad, bad, 1, bad)
    panel = {"title": bad, "columns": [bad, ""], "rows": [[bad, None], bad]}
    data = {"percent": 1, "files": {bad: 1}, "panel": panel}
    check = CheckResult(bad, Status.FAILURE, 1.0, bad, (found,), f"{bad}!", data)
    result = samples.result_of(
        samples.design().jobs["lint"].variants[0],
        check,
        artifacts=(bad, "javascript:alert(1)"),
        warnings=(bad,),
        cause=bad,
        python=bad,
        java=bad,
    )
    return replace(
        session,
        state=State.FAILURE,
        result=result,
        name=bad,
        reproduce=bad,
        why=bad,
        note=bad,
        tests=(TestCase(bad, 1.0, "failed", bad, 1, bad),),
    )


def test_hostile_text_in_every_field_makes_no_element_and_no_address(
    tmp_path: Path,
) -> None:
    text = html.page(hostile(tmp_path))
    text.encode()
    document = Document(text)
    assert document.open == []
    assert [tag for tag, _ in document.elements].count("script") == 2
    assert not {"img", "iframe", "base", "link", "object"} & {
        tag for tag, _ in document.elements
    }
    names = {name for _, attributes in document.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert all(
        url.startswith(("#", "../", "./")) for url in document.attributes("a", "href")
    )
    assert "\u202e" not in text


def test_the_policy_lets_only_the_pages_own_style_and_script_through() -> None:
    text = html.page(EMPTY)
    [policy] = [
        content
        for content in Document(text).attributes("meta", "content")
        if "default-src" in content
    ]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert (
        policy == f"default-src 'none'; style-src '{html.digest(style[0])}'; script-src"
        f" '{html.digest(script[0])}'; base-uri 'none'; form-action 'none'"
    )
    assert len(script) == len(style) == 1
    assert (
        html.digest("alert(1)") == "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
    )


def test_style_and_script_cannot_be_closed_early_or_use_the_network() -> None:
    for name in ("report.css", "report.js"):
        text = html.asset(name)
        assert "</" not in text and "<!--" not in text
        assert (
            "http:" not in text
            and "https:" not in text
            and "@import" not in text
            and "url(" not in text
        )
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)/", "http://example.org/", "https://example.org/x"]
)
def test_an_address_of_the_sources_that_is_no_folder_on_https_is_refused(
    url: str,
) -> None:
    with pytest.raises(ValueError, match="is not an https:// address that ends in /"):
        html.page(EMPTY, source_url=url)


def test_a_page_of_nothing_is_a_page() -> None:
    text = html.page(EMPTY)
    document = Document(text)
    assert document.open == []
    assert "<title>Skipped: schedule</title>" in text
    assert f"{EMPTY.tally}." in text
    assert "No findings." in text
    assert (
        'id="tests"' not in text
        and 'id="timeline"' not in text
        and 'id="coverage"' not in text
    )


def test_the_header_says_status_event_branch_commit_and_duration(
    bad_day: Overview,
) -> None:
    document = Document(html.page(replace(bad_day, dirty=True, attempt=2)))
    assert "Failed: push on main, 781e328" in document.texts
    head = "".join(document.texts).partition("Failures")[0]
    for words in (
        "1 failed, 3 with warnings",
        "push",
        "main",
        "781e32854715 with uncommitted changes",
        "attempt 2",
        "4 min 36 s",
    ):
        assert words in head


def test_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    text = html.page(samples.collect(tmp_path, running=True))
    assert '<h1><span aria-hidden="true">⏳</span> Running</h1>' in text
    assert (
        "14 running, 1 skipped. The run has not ended; this is its current state."
        in text
    )


def test_every_id_is_there_once_and_every_link_inside_leads_somewhere(
    bad_day: Overview,
) -> None:
    document = Document(html.page(bad_day))
    ids = [
        str(attributes["id"])
        for _, attributes in document.elements
        if "id" in attributes
    ]
    assert len(ids) == len(set(ids))
    links = [
        url[1:].partition("?")[0]
        for url in document.attributes("a", "href")
        if url.startswith("#")
    ]
    assert set(links) <= set(ids)
    assert {"job-lint", "job-tests", "job-tests-3.10-java17", "job-acceptance"} <= set(
        ids
    )


def test_the_page_says_what_it_leaves_out(
    bad_day: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake_ci.report.page_data.FINDINGS_LIMIT", 3)
    monkeypatch.setattr("lake_ci.report.page_data.TESTS_LIMIT", 26)
    text = html.page(bad_day)
    assert "2 more findings are in the result.json of their jobs alone." in text
    assert (
        "1,600 faster tests that did not fail are in the junit.xml of their jobs alone."
        in text
    )
