from __future__ import annotations

from pathlib import Path

import pytest

from lakekit import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SourceError("flights.csv is empty"), 2),
        (errors.ValueRefused("flights.csv", 3, 4, "dep_delay", "abc", "an int"), 2),
        (errors.LakeRefused("lake is a file", "Name a folder."), 2),
        (errors.UnknownTable("gold.x", "gold.y"), 2),
        (errors.DeclarationError("gold.x", "is declared twice"), 1),
        (errors.SqlRefused("gold.x", "no SELECT"), 1),
        (errors.ComputeError("gold.x", "out of range"), 1),
        (errors.ConflictError("gold.x"), 1),
        (errors.StorageError(Path("lake"), "No space left on device"), 3),
        (errors.MissingExtra("duckdb", "embedded"), 3),
    ],
)
def test_each_error_has_its_exit_code_and_a_next_step(error: errors.LakekitError, code: int) -> None:
    assert error.exit_code == code
    assert str(error) and error.next_step


def test_refused_value_is_found_by_file_row_line_and_column() -> None:
    error = errors.ValueRefused("flights.csv", 3, 5, "dep_delay", "abc", "an int")
    assert (
        str(error)
        == "flights.csv, row 3 (line 5), column dep_delay: 'abc' is not an int. Nothing was written."
    )


def test_missing_extra_says_what_to_install() -> None:
    assert errors.MissingExtra("duckdb", "embedded").next_step == 'pip install "lakekit[embedded]"'
