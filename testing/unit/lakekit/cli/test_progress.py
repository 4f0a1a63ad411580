from __future__ import annotations

import io

import pytest

from lakekit.cli.progress import ProgressLine


def test_line_is_overwritten_and_erased() -> None:
    terminal = io.StringIO()
    with ProgressLine(terminal) as progress:
        progress("silver.flights: update", 2, 14)
        progress("gold.a: update", 14, 14)
        progress("", 14, 14)
    first, second = "3 of 14  silver.flights: update", "14 of 14  gold.a: update"
    lines = terminal.getvalue().split("\r")
    assert lines[:3] == ["", first, second.ljust(len(first))]
    assert set("".join(lines[3:])) == {" "} and lines[-1] == ""


def test_line_fits_the_terminal_and_shows_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = io.StringIO()
    ProgressLine(terminal)("open \x1b[31m" + "x" * 50, 0, 9)
    assert terminal.getvalue() == "\r1 of 9  open \\x1b[3"
