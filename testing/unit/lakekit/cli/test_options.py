from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import click
import pytest

from lakekit.cli.options import exit_code
from lakekit.cli.text import cell, plain, print_json, table_of, visible
from lakekit.errors import LakekitError


@dataclass(frozen=True)
class Result:
    at: datetime.datetime
    folder: Path
    share: Optional[float]


AT = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc)


def test_result_is_printed_as_json_and_more_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json(Result(AT, Path("a"), 0.1234), changed=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "at": "2013-01-01T10:00:00Z",
        "folder": "a",
        "share": 0.1234,
        "changed": True,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(AT, "2013-01-01T10:00:00Z"), (1.005, "1.005"), (None, ""), (7, "7")],
)
def test_value_as_text(value: object, text: str) -> None:
    assert plain(value) == text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table_of(
        ("name", "n"), [("a", "1,000"), ("longer", "2")], right=(1,)
    ).splitlines() == [
        "name        n",
        "------  -----",
        "a       1,000",
        "longer      2",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        ("", ""),
        ("NULL", "'NULL'"),
        ("'a'", "''a''"),
        (" a", "' a'"),
        ("größe", "größe"),
        ("a\x1b[31mb\n\x7f", r"a\x1b[31mb\n\x7f"),
        ("a\u202eb", r"a\u202eb"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e300, "1e+300"),
        (0.001, "0.001"),
        (True, "true"),
        (2**63, "9223372036854775808"),
        (datetime.date(1, 2, 3), "0001-02-03"),
        (AT, "2013-01-01T10:00:00Z"),
    ],
)
def test_cell_has_the_true_value(value: object, text: str) -> None:
    assert cell(value) == text


def test_json_is_valid_for_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [float("nan"), float("inf"), -float("inf"), 1e-300, 2**70]
    print_json(Result(AT, Path("a\x1b"), numbers[0]), rows=({"a": numbers},))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["share"] == "NaN" and found["folder"] == "a\x1b"
    assert found["rows"] == [{"a": ["NaN", "Infinity", "-Infinity", 1e-300, 2**70]}]


def test_every_control_and_bidi_character_is_made_visible() -> None:
    hidden = [*map(chr, [*range(32), *range(127, 160), 0x200B, 0x200E, 0x200F, 0x61C])]
    hidden += map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xD800])
    for character in hidden:
        shown = visible(f"a{character}b")
        assert shown.isprintable() and shown.startswith("a\\") and shown != "a\\b"
    assert visible("a\nb\r", line_ends=True) == "a\nb\\r"


@pytest.mark.parametrize(
    "error",
    [LakekitError("a\x1b[2Jb\n", "c\u202ed"), click.UsageError("a\x1b[2Jb")],
)
def test_error_has_no_character_that_controls_the_terminal(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    assert exit_code(failing, "lakekit", []) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert all(map(str.isprintable, lines))
    # This error comes from click, which removes the escape sequence.
    assert r"a\x1b[2Jb" in "".join(lines) or "Error: ab" in lines


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left"),
        (MemoryError(), "ran out of memory"),
    ],
)
def test_machine_that_lacks_something_exits_with_3(
    error: Exception, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    assert exit_code(failing, "lakekit", []) == 3
    error_line, next_step = capsys.readouterr().err.splitlines()
    assert what in error_line and next_step.startswith("Next: ")
