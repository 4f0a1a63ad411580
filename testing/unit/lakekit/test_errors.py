from __future__ import annotations

from pathlib import Path

import pytest

from lakekit import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SourceError("flights.csv is empty"), 2),
        (errors.ConversionError("flights.csv", "dep_delay", 30, 100, 0.05, "int"), 2),
        (errors.ExpectationFailedError("silver.x", "x is known", 3), 1),
        (errors.InvalidLakeError("lake is a file", "Name a folder."), 2),
        (errors.UnknownTableError("gold.x", "gold.y"), 2),
        (errors.DeclarationError("gold.x", "is declared twice"), 2),
        (errors.UnsupportedSqlError("gold.x", "no SELECT"), 2),
        (errors.ComputeError("gold.x", "out of range"), 1),
        (errors.ConflictError("gold.x"), 1),
        (errors.StorageError(Path("lake"), "No space left on device"), 3),
        (errors.MissingExtraError("duckdb", "embedded"), 3),
        (
            errors.DamagedTableError(
                "gold.x", "gold/x/part-1.parquet", "is missing", 7
            ),
            4,
        ),
    ],
)
def test_each_error_has_its_exit_code_and_a_next_step(
    error: errors.LakekitError, code: int
) -> None:
    assert error.exit_code == code
    assert str(error) and error.next_step


def test_refused_column_is_told_with_its_share_of_misfits() -> None:
    error = errors.ConversionError("flights.csv", "dep_delay", 30, 1000, 0.02, "int")
    assert (
        str(error)
        == "flights.csv, column dep_delay: 30 of 1,000 values do not convert to int;"
        " at most 2% may fail. Nothing was written."
    )


def test_missing_extra_says_what_to_install() -> None:
    assert (
        errors.MissingExtraError("duckdb", "embedded").next_step
        == 'pip install "lakekit[embedded]"'
    )


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("No space left on device", "Free space on that disk"),
        ("Permission denied (os error 13)", "Give this user access"),
        ("Read-only file system", "Make that file system writable"),
        ("Too many open files", "Raise the limit of open files"),
        ("Generic S3 error: 403 Forbidden", "Give this user access"),
        ("Generic S3 error: error sending request", "Check the network"),
        ("Not a directory", "correct the path"),
        ("something new", "Remove the cause that the message names"),
    ],
)
def test_cause_of_a_storage_error_has_its_own_next_step(
    reason: str, remedy: str
) -> None:
    assert remedy in errors.StorageError(Path("lake"), reason).next_step
