"""Tests the exit codes and the messages of errors."""

from __future__ import annotations

import pytest

from lake_ci import errors
from lake_ci.errors import Interrupted, LakeCiError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.LakeCiError, 1),
        (errors.NoEnvironmentError, 1),
        (errors.BadResultError, 1),
        (errors.UsageError, 2),
        (errors.MachineError, 3),
    ],
)
def test_each_error_has_the_exit_code_of_the_design(
    kind: type[LakeCiError], code: int
) -> None:
    assert kind("no").exit_code == code


def test_the_next_command_follows_the_message() -> None:
    assert (
        str(LakeCiError("uv is missing", hint="run `pip install uv`"))
        == "uv is missing (run `pip install uv`)"
    )
    assert str(LakeCiError("uv is missing")) == "uv is missing"


def test_an_interruption_is_a_keyboard_interrupt_so_that_nox_ends_with_130() -> None:
    assert isinstance(Interrupted("SIGTERM"), KeyboardInterrupt)
    assert Interrupted("SIGTERM").signal_name == "SIGTERM"
