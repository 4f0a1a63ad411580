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
from lakekit.cli.main import cli, main
from lakekit.commands.init import TEMPLATE
from lakekit.errors import ConflictError

SAMPLE = Path(__file__).parents[3] / "data"
Outcome = Tuple[int, str, str]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Return a function that runs `lakekit`, and returns the exit code, stdout and
    stderr.
    """
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
    lines = {line.split()[0]: line.split(maxsplit=4) for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert lines["table"][:4] == ["table", "rows", "version", "seconds"]
    assert lines["silver.flights"][1] == "256"
    assert (
        lines["silver.flights"][4]
        == "256 inserted, 37 without: destination is known, 64 without: plane is known,"
        " 72 without: weather is known"
    )
    assert lines["gold.delays_by_carrier_day"][4] == "all rows"
    assert not any(name.startswith("quarantine.") for name in lines)
    assert out.splitlines()[-1].startswith("15 of 20 tables written, ")
    code, out, _ = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake")
    assert (
        code == 0
        and out.splitlines()[-1].startswith("unchanged, ")
        and "written" not in out
    )


def test_run_prints_json(call: Callable[..., Outcome], tmp_path: Path) -> None:
    _, out, _ = call("run", "--source", SAMPLE, "--lake", tmp_path / "lake", "--json")
    found = json.loads(out)
    assert found["changed"] is True and found["lake"] == str(tmp_path / "lake")
    flights = {table["table"]: table for table in found["tables"]}["silver.flights"]
    assert (flights["rows"], flights["mode"], flights["counts"]["inserted"]) == (
        256,
        "whole",
        256,
    )


def test_show_prints_rows_as_text_and_as_json(
    call: Callable[..., Outcome], shop: Path
) -> None:
    tables = ("--tables", "lakekit.template.tables", "--lake", shop)
    _, out, _ = call("show", "silver.orders", *tables, "--limit", 1)
    head, rule, row = out.splitlines()
    assert head.startswith("order_id  ordered_at            ordered_on") and set(
        rule
    ) == {"-", " "}
    assert row.split()[1].endswith("Z")
    _, out, _ = call("show", "silver.orders", *tables, "--json")
    found = json.loads(out)
    assert {row["customer"] for row in found["rows"]} == {
        "Ada",
        "Bo",
        "Cy",
        "Dot",
        "Eve",
        None,
    }
    assert len(found["rows"]) == 9


def test_plan_prints_what_a_declaration_asks_for(
    call: Callable[..., Outcome], shop: Path, tmp_path: Path
) -> None:
    assert (
        call("plan", "--tables", "lakekit.template.tables", "--lake", shop)[1]
        == "Nothing to change.\n"
    )
    text = (
        (TEMPLATE / "tables.py")
        .read_text()
        .replace("Path(__file__).parent", f"Path({str(TEMPLATE)!r})")
    )
    (tmp_path / "tables.py").write_text(
        text.replace('key=("order_id",),', 'key=("order_id",), partition="item",')
    )
    arguments = ("plan", "--tables", tmp_path / "tables.py", "--lake", shop)
    code, out, _ = call(*arguments)
    assert (
        code == 0
        and "repartition  by item instead of nothing" in out
        and "--allow-rebuild" in out
    )
    assert json.loads(call(*arguments, "--json")[1])["needs_rebuild"] is True
    code, _, err = call("run", "--source", TEMPLATE / "data", *arguments[1:])
    assert code == 2 and "silver.orders" in err and "--allow-rebuild" in err


def test_user_mistakes_exit_with_2_and_a_next_step(
    call: Callable[..., Outcome], tmp_path: Path
) -> None:
    code, _, err = call("show", "gold.delays_by_carier", "--lake", tmp_path)
    assert (code, err) == (
        2,
        (
            "Error: There is no table gold.delays_by_carier\nNext: Did you mean"
            " gold.delays_by_carrier_day?\n"
        ),
    )
    code, _, err = call(
        "run", "--source", tmp_path / "none", "--lake", tmp_path / "lake"
    )
    assert code == 2 and "none does not exist" in err and "Next: " in err
    assert call("run")[0] == 2
    assert call("fly")[0] == 2
    assert call("show", "gold.busiest_hours", "--lake", tmp_path, "--limit", 0)[0] == 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. Every table is complete. To resume, run the command again.",
        ),
        (
            ConflictError("gold.x"),
            1,
            "Error: gold.x was changed by another writer during this run",
        ),
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
    steps = terminal.getvalue().split("\r")
    assert code == 0 and out.startswith("table ")
    assert steps[1] == "1 of 25  bronze.flights: open flights.csv", steps
    assert not steps[-2].strip() and steps[-1] == ""
    terminal.truncate(0)
    code, out, _ = call(
        "run", "--source", SAMPLE, "--lake", tmp_path / "lake", "--json"
    )
    assert code == 0 and json.loads(out) and terminal.getvalue() == ""


@pytest.mark.parametrize("installed", [True, False])
def test_version_comes_from_the_installed_wheel(
    installed: bool, call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert call("--version") == (
        0,
        f"lakekit {'1.2.3' if installed else '0.0.0+unknown'}\n",
        "",
    )


@pytest.mark.parametrize("arguments", [[], *([name] for name in sorted(cli.commands))])
def test_help_has_an_example(
    arguments: List[Any], call: Callable[..., Outcome]
) -> None:
    code, out, _ = call(*arguments, "--help")
    assert code == 0 and "Example:\n" in out and "\n    lakekit " in out


def test_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lakekit", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("lakekit", run_name="__main__")
    assert caught.value.code == 0 and "Usage: lakekit" in capsys.readouterr().out
