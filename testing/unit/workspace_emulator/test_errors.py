from __future__ import annotations

from workspace_emulator.errors import missing_field, not_emulated


def test_an_error_is_what_clients_read() -> None:
    error = missing_field("path")
    assert error.body == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "Missing required field: path",
    }
    assert str(error) == "Missing required field: path"


def test_what_is_not_emulated_names_itself_and_the_limits() -> None:
    error = not_emulated("GET /x")
    assert (
        error.status == 501
        and "GET /x" in error.message
        and error.message.endswith("README.md")
    )
