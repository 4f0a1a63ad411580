"""Tests the parser of a session's arguments after `--`, and the output of `--help`."""

from __future__ import annotations

import pytest

from lake_ci.errors import UsageError
from lake_ci.runner.options import Parser
from testing.unit.lake_ci.conftest import Nox

DECLARED = """
from lake_ci.runner.options import Parser

def parser():
    parser = Parser("nox -s first --", "Does it first.")
    parser.add_argument("--once", action="store_true", help="not twice")
    return parser

@suite.job(python=None, parser=parser)
def first(run):
    \"\"\"Do it first.\"\"\"
    run.check(Shell("echo ran >> ran"))
"""


@pytest.fixture
def parser() -> Parser:
    parser = Parser("nox -s first --", "Does it first.")
    parser.add_argument("--target", choices=["a", "b"])
    return parser


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--tagret", "a"], "no option '--tagret'; did you mean '--target'?"),
        (["--target", "c"], "argument --target: invalid choice: 'c'"),
        (["a"], "no argument 'a'"),
    ],
)
def test_wrong_usage_names_what_is_wrong_and_the_help(
    parser: Parser, typed: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parser.parse_args(typed)
    assert message in str(raised.value)
    assert "nox -s first -- --help" in str(raised.value)


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("", []),
        ("--part b", ["b"]),
        ("--part c --part a", ["a", "c"]),
        ("--part a --part a", ["a"]),
    ],
)
def test_parts_are_selected_once_and_in_their_own_order(
    typed: str, parts: list[str]
) -> None:
    parser = Parser("nox -s first --", "Does it first.")
    parser.add_part("--part", ["a", "b", "c"])
    assert parser.parse_args(typed.split()).part == parts


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_printed_and_nothing_runs(
    nox_run: Nox, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    nox_run.write(DECLARED)
    assert nox_run.here("-s", "first", "--", word) == 0
    printed = capsys.readouterr().out
    assert "usage: nox -s first -- [-h] [--once]" in printed
    assert "not twice" in printed
    assert not (nox_run.root / "ran").exists()
    assert nox_run.statuses() == {}
