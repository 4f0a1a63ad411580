"""Sanitized text of tools."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from lake_ci.report.text import HIDDEN, anchor, link, one_line, shorten, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with | and <b>", "plain, with | and <b>"),
        ("naïve ✅ 漢字", "naïve ✅ 漢字"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07done", "red and done"),
        ("a\u202eb\u2066c", "a⟨U+202E⟩b⟨U+2066⟩c"),
        ("bell\x07 null\x00", "bell⟨U+0007⟩ null⟨U+0000⟩"),
        ("lone \ud800 half", "lone ⟨U+D800⟩ half"),
        ("\u2028\u2029\ufeff\u200b", "⟨U+2028⟩⟨U+2029⟩⟨U+FEFF⟩⟨U+200B⟩"),
    ],
)
def test_what_hides_or_reorders_text_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(alphabet=st.characters()))
def test_nothing_hidden_is_left_and_all_of_it_can_be_written(text: str) -> None:
    shown = visible(text)
    assert not HIDDEN.search(shown)
    shown.encode()


def test_one_line_has_no_line_break() -> None:
    assert one_line(" a\n\tb \r\n c ") == "a b c"


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert shorten("abc", 3) == "abc"
    assert (
        shorten("a" * 2000 + "z" * 2000, 20)
        == f"{'a' * 10}\n… 3,980 characters left out …\n{'z' * 10}"
    )


@pytest.mark.parametrize(
    ("file", "line", "url"),
    [
        ("utils/a.py", 3, "../utils/a.py#L3"),
        ("utils/a.py", None, "../utils/a.py"),
        ("a b#c?d.py", 1, "../a%20b%23c%3Fd.py#L1"),
        ("javascript:alert(1)", None, "../javascript%3Aalert%281%29"),
        ('"><script>', None, "../%22%3E%3Cscript%3E"),
        ("lone\ud800", None, "../lone%3F"),
    ],
)
def test_a_link_holds_a_path_and_nothing_else(
    file: str, line: int | None, url: str
) -> None:
    assert link("../", file, line) == url


@pytest.mark.parametrize(
    "file",
    [None, "", "/etc/passwd", "//example.org/x", "../../x", "a/../../x", "\\\\host\\x"],
)
def test_what_leads_out_of_the_repository_is_no_link(file: str | None) -> None:
    assert link("../", file) is None


def test_an_anchor_is_a_plain_id() -> None:
    assert anchor("tests-3.10(java17)") == "job-tests-3.10-java17-"
    assert anchor('"><é x') == "job------x"
