from __future__ import annotations

import importlib.metadata
import runpy
import sys
from pathlib import Path
from typing import Any, Callable, List, Mapping, Tuple

import pytest

from lakekit_api import cli, settings, tokens
from lakekit_api.settings import Settings

Outcome = Tuple[int, str, str]
Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs the command, and returns the exit code, stdout and
    stderr.
    """
    monkeypatch.setenv("RUST_LOG", "off")

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """Replace the server by a fake. Return a list that gets the fake's arguments."""
    found: List[Any] = []

    def record(
        chosen: Settings, known: Tuple[tokens.Token, ...], _: Mapping[str, str]
    ) -> None:
        found.extend([chosen, known])

    monkeypatch.setattr(cli, "run_server", record)
    return found


def test_flags_come_before_variables_and_these_before_defaults(
    call: Call, started: List[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEKIT_API_LAKE", "of-variable")
    monkeypatch.setenv("LAKEKIT_API_PORT", "1234")
    monkeypatch.setenv("LAKEKIT_API_NO_AUTH", "true")
    assert call("serve", "--port", 99, "--max-limit", 5)[0] == 0
    expected = Settings(lake="of-variable", port=99, no_auth=True, max_limit=5)
    assert (started[0], tuple(started[1])) == (expected, ())


def test_every_setting_has_a_flag(call: Call) -> None:
    _, out, _ = call("serve", "--help")
    for field in settings.fields():
        assert f"--{field.name.replace('_', '-')} " in out.replace(",", " ")
        assert f"LAKEKIT_API_{field.name.upper()}" in out


def test_tokens_come_from_a_file_and_from_the_environment(
    call: Call, started: List[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens.txt"
    lines = []
    for name in ("in-file", "in-environment"):
        code, out, err = call("token", "--name", name, "--tables", "gold.busiest_hours")
        assert (
            code == 0
            and len(out.splitlines()) == 1
            and "(shown only once): lkt_" in err
        )
        lines.append(out)
    file.write_text(lines[0])
    monkeypatch.setenv("LAKEKIT_API_TOKENS", lines[1])
    assert call("serve", "--lake", "x", "--tokens", file)[0] == 0
    assert {token.name for token in started[1]} == {"in-file", "in-environment"}


def test_made_token_opens_what_it_was_made_for(call: Call) -> None:
    _, line, err = call(
        "token", "--tables", "gold.busiest_hours, gold.delays_by_carrier_day"
    )
    secret = err.split("(shown only once): ")[1].split()[0]
    found = tokens.find(
        tokens.read(line, "x", ["gold.busiest_hours", "gold.delays_by_carrier_day"]),
        secret,
    )
    assert (
        found is not None and found.opens("gold.busiest_hours") and secret not in line
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("2999-01-31", "expires:2999-02-01T00:00:00Z"),
        ("2999-01-31T17:00:00+01:00", "expires:2999-01-31T16:00:00Z"),
        ("90d", "expires:20"),
    ],
)
def test_line_of_a_token_has_its_end(given: str, line: str, call: Call) -> None:
    code, out, _ = call("token", "--tables", "*", "--expires", given)
    assert code == 0 and f" {line}" in out
    [made] = tokens.read(out, "x", [])
    assert made.expires is not None


@pytest.mark.parametrize("given", ["2013-01-31", "0d", "soon", "2999-02-30", "9" * 40])
def test_end_that_is_none_or_past_is_refused(given: str, call: Call) -> None:
    code, out, err = call("token", "--tables", "*", "--expires", given)
    assert (code, out) == (2, "") and "--expires" in err and "Next: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["token", "--tables", "gold.busy_hours"],
            2,
            "there is no table gold.busy_hours\nNext: Did you mean",
        ),
        (
            ["serve", "--lake", "x", "--tokens", "none.txt"],
            2,
            "none.txt: No such file or directory\nNext: Make a line",
        ),
        (["serve", "--lake", "x"], 2, "No token is configured"),
        (
            ["serve", "--lake", "x", "--no-auth", "--host", "0.0.0.0"],
            2,
            "--no-auth would open the tables",
        ),
        (["serve", "--no-auth"], 2, "No lake is set"),
        (
            ["serve", "--lake", "x", "--no-auth", "--log-level", "loud"],
            2,
            "loud is no log level",
        ),
        (["serve", "--lake", "x", "--no-auth", "--port", "x"], 2, "--port"),
        (["serve", "--lake", "x", "--no-auth", "--port", "99999"], 2, "--port"),
        (
            ["serve", "--lake", "x", "--no-auth", "--concurrency", "0"],
            2,
            "--concurrency",
        ),
        (
            ["serve", "--lake", "x", "--no-auth", "--allowed-hosts", "lake.example"],
            2,
            (
                "--no-auth would open the tables to web pages of lake.example\nNext:"
                " Remove"
            ),
        ),
        (["fly"], 2, "No such command"),
    ],
)
def test_mistakes_are_said_with_the_next_step(
    arguments: List[str], code: int, said: str, call: Call
) -> None:
    found, out, err = call(*arguments)
    assert (found, out) == (code, "") and said in err and "Traceback" not in err


@pytest.mark.parametrize(
    "option",
    [
        "--max-connections",
        "--max-url",
        "--max-headers",
        "--max-header-bytes",
        "--read-timeout",
        "--write-timeout",
        "--keep-alive-timeout",
    ],
)
def test_limit_of_nothing_is_refused(option: str, call: Call) -> None:
    code, _, err = call("serve", "--lake", "x", "--no-auth", option, 0)
    assert code == 2 and option in err


def test_file_that_is_no_text_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xff\xfe")
    assert (
        "is no UTF-8 text"
        in call("serve", "--lake", "x", "--tokens", tmp_path / "tokens")[2]
    )


def test_interrupt_is_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_server", interrupt)
    assert call("serve", "--lake", "x", "--no-auth")[0] == 130


@pytest.mark.parametrize("installed", [True, False])
def test_version_is_the_wheel_s(
    installed: bool, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert call("--version") == (
        0,
        f"lakekit-api {'1.2.3' if installed else '0.0.0+unknown'}\n",
        "",
    )


@pytest.mark.parametrize("arguments", [[], ["serve"], ["token"]])
def test_help_has_an_example(arguments: List[str], call: Call) -> None:
    code, out, _ = call(*arguments, "--help")
    assert code == 0 and "Example:\n" in out and "lakekit-api " in out


def test_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lakekit-api", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("lakekit_api", run_name="__main__")
    assert caught.value.code == 0 and "Usage: lakekit-api" in capsys.readouterr().out
