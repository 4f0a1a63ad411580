from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from workspace_emulator.errors import ApiError
from workspace_emulator.routing import Call, fields_of


def call(**fields: Any) -> Call:
    return Call(make_mocked_request("GET", "/"), fields)


def test_fields_are_read_as_each_client_writes_them() -> None:
    given = call(
        path="/a",
        job_id="7",
        length=3,
        overwrite="True",
        recursive=False,
        libraries=[{"whl": "x"}],
    )
    assert given.text("path") == "/a" and given.text("none", "b") == "b"
    assert (
        given.number("job_id"),
        given.number("length"),
        given.number("none", 5),
    ) == (7, 3, 5)
    assert (given.flag("overwrite"), given.flag("recursive"), given.flag("none")) == (
        True,
        False,
        False,
    )
    assert given.items("libraries") == [{"whl": "x"}]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: call().text("path"), "Missing required field: path"),
        (lambda: call(path=1).text("path"), "path must be a string"),
        (lambda: call().number("run_id"), "Missing required field: run_id"),
        (lambda: call(run_id="x").number("run_id"), "run_id must be a number, not 'x'"),
        (
            lambda: call(overwrite="maybe").flag("overwrite"),
            "overwrite must be true or false, not 'maybe'",
        ),
        (lambda: call().items("libraries"), "Missing required field: libraries"),
        (
            lambda: call(libraries=["x"]).items("libraries"),
            "libraries must be a list of objects",
        ),
        (lambda: fields_of(b"{"), "Invalid JSON"),
        (lambda: fields_of(b"[]"), "not an object"),
    ],
)
def test_what_cannot_be_read_says_which_field(read: Any, message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        read()
    assert refused.value.status == 400


def test_a_body_may_be_empty() -> None:
    assert fields_of(b" ") == {} and fields_of(b'{"a": 1}') == {"a": 1}
