"""Damages every part of a table. `lakekit show` must either show the right rows, or
exit with code 4 and name the damaged table and file. The command must print no
traceback, and still show the undamaged tables.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Tuple

import pytest
from deltalake import DeltaTable

from lakekit.cli.main import call
from lakekit.commands.init import TEMPLATE
from testing.unit.lakekit.damage import (
    FIELDS,
    FILE_DAMAGE,
    NAME,
    NEWER_DELTA,
    changed,
    of_field,
    write_lake,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake after two runs. The lake's tables have no checkpoint. Tests must
    not change this lake.
    """
    return write_lake(tmp_path_factory.mktemp("matrix"))


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the lake; the test may damage the copy."""
    shutil.copytree(made, tmp_path / "lake")
    return tmp_path / "lake"


def show(
    lake: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> Tuple[int, str, str]:
    """Run `lakekit show`, and return the command's exit code, stdout and stderr."""
    tables = str(TEMPLATE / "tables.py")
    code = call(["show", table, "--lake", str(lake), "--tables", tables])
    return (code, *capsys.readouterr())


def check(lake: Path, right: str, what: object, capsys: Any) -> int:
    """Check the output of `lakekit show` for a damaged table. Return the exit code."""
    code, out, err = show(lake, NAME, capsys)
    if code == 0:
        assert out == right, what
    else:
        assert code == 4, (what, err)
        error, next_step = err.splitlines()
        assert error.startswith(f"Error: {NAME} is damaged: {lake}/silver/"), what
        assert next_step.startswith("Next: "), what
    return code


@pytest.mark.parametrize("version", [1, 3])
def test_damaged_commit_is_named(
    version: int, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, other = show(lake, NAME, capsys)[1], show(lake, "gold.sales_by_day", capsys)
    file = lake / "silver/orders/_delta_log" / f"{version:020}.json"
    for what, damage in FILE_DAMAGE.items():
        with changed(file, damage(file.read_bytes())):
            code, out, err = show(lake, NAME, capsys)
            if code == 0:  # an older commit, which changed no rows
                assert out == right and version < 3, what
            else:
                assert code == 4 and f"{NAME} is damaged: {file} " in err, (what, err)
    file.write_bytes(b"")
    assert show(lake, "gold.sales_by_day", capsys) == other
    file.unlink()
    if version < 3:  # without commit 3, version 2 is valid
        check(lake, right, "missing", capsys)


@pytest.mark.parametrize("field", FIELDS)
def test_damaged_field_is_named_or_not_needed(
    field: str, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, codes = show(lake, NAME, capsys)[1], []
    for damage in of_field(lake, field):
        with changed(damage.file, damage.content):
            if damage.what == NEWER_DELTA:
                assert show(lake, NAME, capsys)[0] == 2
                continue
            codes.append(check(lake, right, damage.what, capsys))
    assert 4 in codes


@pytest.mark.parametrize("name", ["checkpoint.parquet", "_last_checkpoint"])
def test_damaged_checkpoint_is_named_or_passed_over(
    name: str, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DeltaTable(str(lake / "silver/orders")).create_checkpoint()
    right = show(lake, NAME, capsys)[1]
    (file,) = (lake / "silver/orders/_delta_log").glob(f"*{name}")
    codes = []
    for what, damage in FILE_DAMAGE.items():
        with changed(file, damage(file.read_bytes())):
            codes.append(check(lake, right, what, capsys))
    file.unlink()
    codes.append(check(lake, right, "missing", capsys))
    assert (4 in codes) == (name == "checkpoint.parquet")


def test_damaged_data_file_is_named(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, other = show(lake, NAME, capsys)[1], show(lake, "gold.sales_by_day", capsys)
    (uri,) = DeltaTable(str(lake / "silver/orders")).file_uris()
    file = Path(uri)
    for what, damage in FILE_DAMAGE.items():
        with changed(file, damage(file.read_bytes())):
            code, out, err = show(lake, NAME, capsys)
            if code == 0:  # DuckDB 1.4 does not read the damaged bytes of the footer
                assert out == right and what == "end"
            else:
                assert code == 4 and f"{NAME} is damaged: {file} " in err, (what, err)
    file.unlink()
    assert show(lake, "gold.sales_by_day", capsys) == other
    assert f"{NAME} is damaged: {file} is missing" in show(lake, NAME, capsys)[2]


@pytest.mark.parametrize("command", ["run", "quality", "plan", "maintain", "diff"])
def test_every_command_names_a_damaged_commit(
    command: str, lake: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lake / "silver/orders/_delta_log" / f"{3:020}.json"
    arguments = {
        "run": ["run", "--source", str(TEMPLATE / "data"), "--lake", str(lake)],
        "diff": ["diff", str(made), str(lake)],
    }
    tables = ["--tables", str(TEMPLATE / "tables.py")]
    for what in ("cut", "emptied", "list", "zeros", "empty object"):
        with changed(file, FILE_DAMAGE[what](file.read_bytes())):
            given = arguments.get(command, [command, "--lake", str(lake)])
            assert call(given + tables) == 4, what
            error, next_step = capsys.readouterr().err.splitlines()
            assert f"{NAME} is damaged: {file} " in error, what
            assert next_step.startswith("Next: Restore the file from a copy"), what
