"""Templates: escaping and compilation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from lake_ci.report import rendering
from lake_ci.report.rendering import render
from testing.unit.lake_ci.report import samples

TEMPLATES = Path(rendering.__file__).with_name("templates")


@pytest.fixture
def templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Return a function that writes the template `a.html` to a temporary folder, from
    which templates are now loaded.
    """
    folder = tmp_path / "templates"
    folder.mkdir()
    monkeypatch.setattr(rendering, "__file__", str(tmp_path / "rendering.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    (tmp_path / "rendering.py").write_text("first")

    def write(text: str) -> None:
        (folder / "a.html").write_text(text)
        rendering._environment.cache_clear()

    yield write
    rendering._environment.cache_clear()


def test_text_is_escaped_and_visible_in_elements_and_attributes(
    templates: Callable[[str], None],
) -> None:
    templates('<p title="{{ text }}">{{ text }}</p>')
    made = render("a.html", text=samples.HOSTILE)
    assert made.count("<") == made.count(">") == 2
    assert made.count('"') == 2
    assert made.count("⟨U+202E⟩evil") == 2


def test_what_a_template_made_is_not_escaped_again(
    templates: Callable[[str], None],
) -> None:
    templates("<b>{{ text }}</b>")
    assert render("a.html", text=render("a.html", text="&")) == "<b><b>&amp;</b></b>"


def test_a_value_that_is_not_given_is_an_error(
    templates: Callable[[str], None],
) -> None:
    templates("{{ text }}")
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        render("a.html")


def test_only_the_pages_own_style_script_and_data_are_not_escaped() -> None:
    trusted = {
        (file.name, line.strip())
        for file in TEMPLATES.iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
        if "safe" in line or "autoescape" in line or "Markup" in line
    }
    assert trusted == {
        ("page.html", "<style>{{ style | safe }}</style>"),
        (
            "page.html",
            '<script type="application/json" id="data">{{ data | safe }}</script>',
        ),
        ("page.html", "<script>{{ script | safe }}</script>"),
    }


def test_a_template_is_compiled_once_until_it_or_its_settings_change(
    tmp_path: Path, templates: Callable[[str], None]
) -> None:
    templates("one")
    assert render("a.html") == "one"
    [cached] = (tmp_path / "__pycache__").iterdir()
    first = cached.read_bytes()
    templates("one")
    assert render("a.html") == "one"
    assert cached.read_bytes() == first
    templates("two")
    assert render("a.html") == "two"
    second = cached.read_bytes()
    (tmp_path / "rendering.py").write_text("second")
    templates("two")
    assert render("a.html") == "two"
    assert len({first, second, cached.read_bytes()}) == 3
    assert list((tmp_path / "__pycache__").iterdir()) == [cached]


def test_a_template_is_rendered_where_nothing_can_be_written(
    templates: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    templates("one")
    monkeypatch.setattr(sys, "pycache_prefix", "/proc/none")
    assert render("a.html") == "one"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    templates("two")
    assert render("a.html") == "two"
