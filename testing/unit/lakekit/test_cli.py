from __future__ import annotations

import importlib.metadata
import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any, Callable, List, Tuple

import pytest

import lakekit
from lakekit.cli import main
from lakekit.errors import ConflictError

SAMPLE = Path(__file__).parents[2] / "data"
Outcome = Tuple[int, str, str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run the command; its exit code, stdout and stderr."""
    monkeypatch.setenv("RUST_LOG", "off")

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def test_run_prints_what_it_wrote_and_then_that_nothing_changed(
    call: Callable[..., Outcome], tmp_path: Path
) -> None:
    code, out, err = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake")
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[0] == ["table", "rows", "version", "seconds"]
    assert [line[:3] + line[4:] for line in lines if line[0] == "silver.flights"] == [
        ["silver.flights", "256", "0", "written"]
    ]
    assert out.splitlines()[-1].startswith("14 of 14 tables written, ")
    code, out, _ = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake")
    assert code == 0 and out.splitlines()[-1].startswith("unchanged, ") and "written" not in out


def test_run_prints_json(call: Callable[..., Outcome], tmp_path: Path) -> None:
    _, out, _ = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake", "--json")
    found = json.loads(out)
    assert found["changed"] is True and found["lake"] == str(tmp_path / "lake")
    assert found["tables"][9]["table"] == "silver.flights"
    assert (found["tables"][9]["rows"], found["tables"][9]["version"]) == (256, 0)


def test_show_prints_rows_as_text_and_as_json(call: Callable[..., Outcome], tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    call("run", "--source", SAMPLE, "--lake", lake)
    _, out, _ = call("show", "gold.delays_by_airport_hour", "--lake", lake, "--limit", 1)
    head, rule, row = out.splitlines()
    assert head.startswith("time_hour             origin  flights") and set(rule) == {"-", " "}
    assert row.split()[:3] == ["2013-01-01T10:00:00Z", "EWR", "2"]
    _, out, _ = call("show", "gold.delays_by_airport_hour", "--lake", lake, "--limit", 1, "--json")
    first = json.loads(out)["rows"][0]
    assert (first["time_hour"], first["flights"], first["wind_gust"]) == ("2013-01-01T10:00:00Z", 2, None)
    _, out, _ = call("show", "silver.airlines", "--lake", lake, "--limit", 1)
    assert out.splitlines()[-1].split(maxsplit=1) == ["9E", "Endeavor Air Inc."]


def test_user_mistakes_exit_with_2_and_a_next_step(call: Callable[..., Outcome], tmp_path: Path) -> None:
    code, _, err = call("show", "gold.delays_by_carier", "--lake", tmp_path)
    assert (code, err) == (
        2,
        "Error: There is no table gold.delays_by_carier\nNext: Did you mean gold.delays_by_carrier_day?\n",
    )
    code, _, err = call("run", "--source", tmp_path / "none", "--lake", tmp_path / "lake")
    assert code == 2 and "none does not exist" in err and "Next: " in err
    assert call("run")[0] == 2
    assert call("fly")[0] == 2
    assert call("show", "gold.busiest_hours", "--lake", tmp_path, "--limit", 0)[0] == 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Interrupted: every table is whole, and running again resumes."),
        (ConflictError("gold.x"), 1, "Error: gold.x was changed by another writer during this run"),
    ],
)
def test_exit_code_follows_the_error(
    raised: BaseException,
    code: int,
    said: str,
    call: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(lakekit, "run", fail)
    found, out, err = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake")
    assert (found, out, err.strip().splitlines()[0]) == (code, "", said)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_only(
    call: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    code, out, _ = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake")
    assert code == 0 and "silver.flights" in terminal.getvalue() and "100%" in terminal.getvalue()
    assert out.startswith("table ")


@pytest.mark.parametrize("installed", [True, False])
def test_version_comes_from_the_installed_wheel(
    installed: bool, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert call("--version") == (0, f"lakekit {'1.2.3' if installed else '0.0.0+unknown'}\n", "")


@pytest.mark.parametrize("arguments", [[], ["run"], ["show"]])
def test_help_has_an_example(arguments: List[Any], call: Callable[..., Outcome]) -> None:
    code, out, _ = call(*arguments, "--help")
    assert code == 0 and "Example:\n" in out and "\n    lakekit " in out


def test_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lakekit", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("lakekit", run_name="__main__")
    assert caught.value.code == 0 and "Usage: lakekit" in capsys.readouterr().out
