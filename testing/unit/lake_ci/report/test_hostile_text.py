"""Hostile text in the output of a tool has no effect, wherever it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report import annotations as github_log, html, markdown, terminal
from lake_ci.report.overview import Overview
from lake_ci.report.text import HIDDEN
from testing.unit.lake_ci.report import samples

TEXTS = [
    "@octocat and @org/team",
    "fixes #1, GH-1, gh-2 and owner/repo#3",
    "&#64;octocat &commat;octocat \\@octocat",
    "https://github.com/o/r/issues/1",
    "HTTPS://GitHub.com:443/o/r/pull/2",
    "www.github.com/o//r/discussions/3",
    "https://me@github.com/o/r/issues/4",
    "![image](https://host/x.png) ![i][1]\n[1]: https://host/x.png",
    '<img src="https://host/x.png"><svg onload=alert(1)>',
    "[link](javascript:alert(1)) <https://host> <a href=x>",
    "<script>alert(1)</script></script><!-- --> ]]>",
    "\x1b[31mred\x1b[0m \x1b]8;;https://host\x07link\x1b]8;;\x07 \x9b31m \x1b[2J",
    "\x1b]0;title\x1b\\ \x1bc \x07\x08\r\x00",
    "\u202eevil\u202c \u2066x\u2069 \u200f\u200e\u061c \u200b\ufeff\u2028\u2029",
    "tag \U000e0041\U000e007f half \ud800",
    "::error::owned",
    "first\n::add-mask::x\n  ::stop-commands::y\n##[error]owned",
    "%0A::error::owned%0D",
    "a | b ` c `` d ~~~\n```\n# e\n- f\n| - |\n> g",
    "*a* _b_ **c** ~~d~~ $e$ \\*f\\*",
    "x,title=y:z,file=w",
]
URL_OF_ISSUE = re.compile(r"(?<!redirect\.)github\.com\S*/\d", re.IGNORECASE)


def overview_with(text: str, tmp_path: Path) -> Overview:
    """Return an overview in which every field with a tool's output contains the
    text.
    """
    finding = Finding(text, text, text, text, 1)
    check = CheckResult(text, Status.FAILURE, 1.0, text, (finding,), text)
    overview = samples.overview_of(tmp_path, lint=[check])
    node = overview.nodes[0]
    session = node.sessions[0]
    assert session.result is not None
    result = replace(session.result, warnings=(text,), artifacts=(text,))
    sessions = (replace(session, result=result, note=text),)
    return replace(
        overview,
        branch=text,
        notes=(text,),
        nodes=(replace(node, sessions=sessions), *overview.nodes[1:]),
    )


def check_marks(text: str) -> None:
    """Assert that the text has no color codes, direction marks or other hidden
    characters.
    """
    assert "\x1b" not in text
    assert not HIDDEN.search(text.replace(markdown.WORD_JOINER, ""))
    text.encode()


def check_markdown(text: str) -> None:
    # Remove code spans and escaped characters, because only the rest could be markup.
    rest = re.sub(r"\\.|(`+).*?(?<!`)\1(?!`)", "", text)
    assert re.findall("<.*?>", rest) == ["<br>"] * rest.count("<")
    assert not re.search(r"\]\(|\]\[|!\[|`|~~|\*[^*\n]+\*[^*]", rest.replace("**", ""))
    assert not re.search(r"@\w|#\d|\bGH-\d", rest, re.IGNORECASE)
    assert not URL_OF_ISSUE.search(rest)


def check_log(text: str) -> None:
    """Assert that GitHub finds only the suite's own commands in the log."""
    commands = [line for line in text.splitlines() if line.lstrip().startswith("::")]
    ours = r"::(group|endgroup|stop-commands|mark|error|warning|notice)\b"
    assert all(re.match(ours, line) for line in commands)
    assert "##[" not in text
    owned = [line for line in commands if re.match("::(error|warning)", line)]
    for line in owned:
        properties = line[2:].partition("::")[0].partition(" ")[2]
        names = [each.partition("=")[0] for each in properties.split(",")]
        assert names in (["title"], ["file", "line", "title"])


def check_terminal(text: str) -> None:
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in text


class Elements(HTMLParser):
    """Collects the elements of a page, and the addresses in the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [str(value) for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def check_page(text: str) -> None:
    found = Elements(text)
    assert found.tags.count("script") == 2
    assert not {"img", "iframe", "object", "base"} & {*found.tags}
    assert all(url.startswith(("#", "../", "./")) for url in found.urls)


def job(overview: Overview) -> str:
    result = overview.nodes[0].sessions[0].result
    assert result is not None
    return f"{terminal.job(result)}\n{terminal.table([result], {'x': 'skipped'})}"


MEDIA: dict[str, tuple[Callable[[Overview], str], Callable[[str], None]]] = {
    # The issue on GitHub has the same text as the Markdown report.
    "markdown": (markdown.report, check_markdown),
    "log": (lambda overview: github_log.log(overview, "mark"), check_log),
    "terminal": (job, check_terminal),
    "page": (html.page, check_page),
}


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("medium", MEDIA)
def test_hostile_text_has_no_effect(tmp_path: Path, medium: str, text: str) -> None:
    show, check = MEDIA[medium]
    shown = show(overview_with(text, tmp_path))
    check_marks(shown)
    check(shown)
