"""Tests reports/index.html as a file in a real Chromium. The page must be accessible,
and texts of tools must not run code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from scripts.screenshot_report import ARGUMENTS, LIMIT, VIEWS, chromium, take

from lake_ci.model.events import Event, select
from lake_ci.model.job import Graph, Job
from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.pipeline import summary
from lake_ci.report import html
from testing.unit.lake_ci.report import samples

# Import by name, because the package has no type annotations.
axe = import_module("axe_playwright_python.sync_playwright")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
Scheme = Literal["light", "dark"]
# The maximum time in milliseconds to wait for a page, even on a busy machine.
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    named = chromium()
    if named is None:
        pytest.fail(
            "no Chromium: run `apt-get install chromium`, or set LAKE_CI_CHROMIUM"
            " to its path"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Opened:
    """An open page, with the requests and errors that it has caused."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def findings(self) -> Any:
        return self.page.locator("#findings-list > li")

    def tests(self) -> Any:
        return self.page.locator("#tests-list > li")


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Yield a function that opens a file. After the test, check that each page has
    loaded only its own file, without errors.
    """
    pages: list[tuple[Opened, str]] = []

    def go(
        file: Path,
        fragment: str = "",
        *,
        scheme: Scheme = "light",
        phone: bool = False,
        script: bool = True,
    ) -> Opened:
        size: Any = PHONE if phone else DESKTOP
        page = browser.new_page(
            viewport=size, color_scheme=scheme, java_script_enabled=script
        )
        page.set_default_timeout(PATIENCE)
        tab = Opened(page)
        page.on("request", lambda request: tab.requests.append(request.url))
        page.on("console", lambda message: tab.complaints.append(message.text))
        page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        page.goto(file.as_uri() + fragment)
        pages.append((tab, file.as_uri()))
        return tab

    yield go
    for tab, address in pages:
        assert {url.partition("#")[0] for url in tab.requests} == {address}
        assert tab.complaints == []
        tab.page.close()


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a run with many failures."""
    root = tmp_path_factory.mktemp("realistic")
    plan = samples.leave_realistic(root)
    assert summary.write(samples.collect(root, plan), root, {}) == 1
    return root / "reports" / "index.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report in which every text that comes from a tool is an attack."""
    root, bad = tmp_path_factory.mktemp("hostile"), samples.HOSTILE.replace(
        "\ud800", ""
    )
    graph = Graph()
    graph.add(Job("lint", samples.session))
    found = [
        Finding(bad, bad, bad, bad, 3, bad),
        Finding("tool", "rule", "message", "javascript:alert(1)", 1),
        Finding(
            "tool", "rule", "message", "data:text/html,<script>alert(1)</script>", 1
        ),
        Finding("tool", "rule", "message", "//example.org/x.py", 1),
        Finding("tool", "rule", "message", "../../etc/passwd", 1),
    ]
    panel = {"title": bad, "columns": [bad], "rows": [[bad]]}
    check = CheckResult(
        bad,
        Status.FAILURE,
        1.0,
        bad,
        tuple(found),
        bad,
        {"panel": panel, "percent": 1, "files": {bad: 2}},
    )
    variant = graph.jobs["lint"].variants[0]
    left = samples.leave(
        root,
        samples.result_of(
            variant,
            check,
            artifacts=(bad, "javascript:alert(1)"),
            warnings=(bad,),
            python=bad,
        ),
    )
    xml = "".join(char for char in bad if char.isprintable() or char == "\n")
    (left / "junit.xml").write_text(
        samples.junit_xml((xml, 0.1, xml)), encoding="utf-8"
    )
    plan = select(graph, Event("push", bad))
    overview = summary.collect(
        root, graph, plan, run=samples.RUN, attempt=1, commit=samples.COMMIT
    )
    assert summary.write(overview, root, {}) == 1
    return root / "reports" / "index.html"


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of 60 jobs with 20,000 findings."""
    root, graph = tmp_path_factory.mktemp("huge"), Graph()
    for number in range(60):
        graph.add(
            Job(
                f"job{number}",
                samples.session,
                needs=(f"job{number - 7}",) if number >= 7 else (),
            )
        )
    for number, job in enumerate(graph):
        found = [
            Finding(
                "mypy",
                f"R{each % 40}",
                f"message {each} of job {number}, as long as they are",
                f"utils/m{each % 300}.py",
                each + 1,
            )
            for each in range(334 if number < 20 else 333)
        ]
        samples.leave(
            root, samples.result_of(job.variants[0], samples.failed("all", *found))
        )
    plan = select(graph, Event("push", "main"))
    start = time.perf_counter()
    overview = summary.collect(
        root, graph, plan, run=samples.RUN, attempt=1, commit=samples.COMMIT
    )
    summary.write(overview, root, {})
    file = root / "reports" / "index.html"
    print(
        f"\nsummary of 20,000 findings: {time.perf_counter() - start:.2f} s,"
        f" {file.stat().st_size / 1e6:.1f} MB"
    )
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
def test_axe_finds_no_violation(
    opened: Callable[..., Opened], realistic: Path, scheme: Scheme, phone: bool
) -> None:
    page = opened(realistic, scheme=scheme, phone=phone).page
    page.evaluate(
        "for (const each of document.querySelectorAll('details')) each.open = true"
    )
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_axe_finds_no_violation_in_hostile_text(
    opened: Callable[..., Opened], hostile: Path
) -> None:
    found = axe.Axe().run(opened(hostile).page)
    assert found.violations_count == 0, found.generate_report()


def test_the_page_fits_a_phone_and_wide_parts_scroll_inside_themselves(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    page = opened(realistic, phone=True).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert (
        page.evaluate("document.querySelector('#graph .scroll').scrollWidth")
        > PHONE["width"]
    )


def test_findings_are_filtered_and_the_address_keeps_the_filter(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic)
    expect(tab.findings()).to_have_count(5)
    tab.page.get_by_label("Severity").select_option("warning")
    expect(tab.findings()).to_have_count(3)
    tab.page.locator("#findings-filters").get_by_label("Text").fill("TEST_RUN.py")
    expect(tab.findings()).to_have_count(3)
    tab.page.locator("#findings-filters").get_by_label("Tool").select_option("mypy")
    expect(tab.findings()).to_have_count(0)
    expect(tab.page.locator("#findings-count")).to_have_text("0 of 5 findings")
    assert tab.page.url.endswith(
        "#findings?tool=mypy&severity=warning&text=TEST_RUN.py"
    )
    again = opened(realistic, "#" + tab.page.url.partition("#")[2])
    expect(again.page.locator("#findings-count")).to_have_text("0 of 5 findings")
    again.page.locator("#findings-filters").get_by_role("button", name="Clear").click()
    expect(again.findings()).to_have_count(5)
    assert again.page.url.endswith("#findings")


def test_a_filter_for_what_is_not_there_shows_nothing(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic, "#findings?job=no-such-job")
    expect(tab.page.locator("#findings-count")).to_have_text("0 of 5 findings")


def test_tests_stand_slowest_first_and_failed_ones_show_their_output(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic)
    expect(tab.page.locator("#tests-count")).to_have_text("1,626 tests")
    expect(tab.tests()).to_have_count(50)
    expect(tab.tests().first).to_contain_text("3.8 s")
    tab.page.get_by_label("Outcome").select_option("failed")
    expect(tab.tests()).to_have_count(1)
    tab.tests().get_by_text("Output").click()
    expect(tab.tests().locator("pre")).to_contain_text("assert 336775 == 336776")


def test_a_link_to_a_finding_leads_to_it(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic)
    row = tab.findings().filter(has_text="arg-type")
    row.get_by_role("link", name="Link to this finding").click()
    fragment = "#" + tab.page.url.partition("#")[2]
    assert fragment.startswith("#finding-")
    again = opened(realistic, fragment)
    expect(again.page.locator("#findings-without")).to_have_count(0)
    shown = again.page.locator(".target")
    expect(shown).to_contain_text("arg-type")
    expect(shown).to_be_focused()
    expect(shown).to_be_in_viewport()


def test_a_link_to_a_finding_overrules_a_filter_that_hides_it(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic)
    name = tab.findings().filter(has_text="arg-type").get_attribute("id")
    tab.page.get_by_label("Severity").select_option("warning")
    tab.page.evaluate(f"location.hash = '#{name}'")
    expect(tab.page.locator(".target")).to_contain_text("arg-type")
    expect(tab.findings()).to_have_count(5)


@pytest.mark.parametrize(
    ("fragment", "words"), [("#job-lint", "flake8"), ("#job-tests-3.9-java11", "java")]
)
def test_a_link_to_a_job_opens_its_checks(
    opened: Callable[..., Opened], realistic: Path, fragment: str, words: str
) -> None:
    tab = opened(realistic, fragment)
    shown = tab.page.locator(".target table")
    expect(shown).to_be_visible()
    expect(shown).to_contain_text(words)


def test_a_box_of_the_graph_leads_to_its_job(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    tab = opened(realistic)
    tab.page.locator("#graph").get_by_role(
        "link", name="security: warning, 24.5 s"
    ).click()
    expect(tab.page.locator("#job-security table")).to_be_visible()
    tab.page.locator("#graph").get_by_role("link", name="tests: 1 of 6 failed").click()
    expect(tab.page.locator("tbody#job-tests")).to_be_focused()


def test_all_works_by_keyboard(opened: Callable[..., Opened], realistic: Path) -> None:
    tab = opened(realistic)
    page = tab.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.locator("#jobs").get_by_role("link", name="lint").focus()
    page.keyboard.press("Enter")
    summary_line = page.locator("#job-lint > summary")
    expect(summary_line).to_be_focused()
    expect(page.locator("#job-lint")).to_have_attribute("open", "")
    page.keyboard.press("Enter")
    expect(page.locator("#job-lint")).not_to_have_attribute("open", "")
    page.get_by_label("Severity").focus()
    page.keyboard.type("warn")
    expect(tab.findings()).to_have_count(3)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_hostile_text_stays_text(opened: Callable[..., Opened], hostile: Path) -> None:
    page = opened(hostile).page
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    # One script has the data of the page, the other has the page's code.
    assert page.locator("script").count() == 2
    assert page.locator("img, iframe, object, embed, base").count() == 0
    assert page.title().startswith("Failed: ") and "<script>" in page.title()
    addresses = page.evaluate(
        "[...document.querySelectorAll('a')].map(each => each.href.baseVal"
        " ?? each.href)"
    )
    own = ("file://", "#")
    assert all(address.startswith(own) for address in addresses), addresses
    assert not any(
        "passwd" in address or "example.org" in address for address in addresses
    )
    words = page.locator("main").inner_text()
    assert "<script>document.title='owned'</script>" in words
    assert "\u202e" not in words
    assert "⟨U+202E⟩evil" in words


def test_links_go_to_the_commit_where_the_report_is_told_where_it_is(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    found = Finding("mypy", "arg-type", "wrong", "utils/a b#c.py", 7)
    overview = samples.overview_of(tmp_path, lint=[samples.failed("mypy", found)])
    file = tmp_path / "index.html"
    file.write_text(
        html.page(overview, source_url="https://github.com/o/r/blob/abc/"),
        encoding="utf-8",
    )
    links = opened(file).page.get_by_role("link", name="utils/a b#c.py:7")
    address = "https://github.com/o/r/blob/abc/utils/a%20b%23c.py#L7"
    assert [link.get_attribute("href") for link in links.all()] == [address, address]


def test_20_000_findings_open_and_can_be_used(
    opened: Callable[..., Opened], huge: Path
) -> None:
    start = time.perf_counter()
    tab = opened(huge)
    expect(tab.findings()).to_have_count(200)
    print(f"\n20,000 findings opened in {time.perf_counter() - start:.2f} s")
    timing = tab.page.evaluate(
        "performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    print(f"load event after {timing:.0f} ms")
    expect(tab.page.locator("#findings-count")).to_have_text("20,000 findings")
    tab.page.get_by_role("button", name="Show 200 more").click()
    expect(tab.findings()).to_have_count(400)
    expect(tab.findings().nth(200)).to_be_focused()
    tab.page.locator("#findings-filters").get_by_label("Text").fill(
        "message 332 of job 59,"
    )
    expect(tab.findings()).to_have_count(1)
    # The link to the last finding opens a page with only a few findings around the last
    # one. The page also has a link to the first findings.
    name = tab.findings().first.get_attribute("id")
    last = opened(huge, f"#{name}")
    expect(last.page.locator(".target")).to_contain_text("message 332 of job 59,")
    last.page.get_by_role("button", name="Show earlier").click()
    expect(last.findings()).to_have_count(400)


def test_without_script_failures_and_jobs_can_be_read(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    page = opened(realistic, script=False).page
    expect(page.locator("#failures")).to_contain_text("assert 336775 == 336776")
    expect(page.locator("#jobs")).to_contain_text("tests-3.10(java17)")
    expect(page.locator("#findings-without")).to_contain_text(
        "This list needs JavaScript"
    )


def test_print_shows_what_is_folded_and_no_controls(
    opened: Callable[..., Opened], realistic: Path
) -> None:
    page = opened(realistic, scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#findings-filters")).to_be_hidden()
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#job-lint table")).to_be_visible()
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#job-lint table")).to_be_hidden()
    assert page.pdf().startswith(b"%PDF")


def test_pictures_of_it_are_small_enough_to_keep(
    browser: Browser, realistic: Path, tmp_path: Path
) -> None:
    taken = take(browser, realistic, tmp_path)
    assert [file.stem for file in taken] == [view[0] for view in VIEWS]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in taken)
    assert all(file.stat().st_size < LIMIT for file in taken)
