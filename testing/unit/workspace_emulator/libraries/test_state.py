from __future__ import annotations

from typing import Any

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.libraries.state import check, wheel_name


@pytest.mark.parametrize(
    "library",
    [
        {"whl": "/Volumes/a/b/c/x.whl"},
        {"pypi": {"package": "x==1"}},
        {"requirements": "/Workspace/r.txt"},
    ],
)
def test_what_is_a_library(library: dict[str, Any]) -> None:
    check(library)


@pytest.mark.parametrize(
    ("library", "status"),
    [
        ({}, 400),
        ({"whl": ""}, 400),
        ({"whl": "--index-url=x"}, 400),
        ({"whl": "a.whl", "pypi": {"package": "x"}}, 400),
        ({"pypi": {}}, 400),
        ({"jar": "x.jar"}, 501),
        ({"maven": {"coordinates": "a:b:1"}}, 501),
    ],
)
def test_what_is_none(library: dict[str, Any], status: int) -> None:
    with pytest.raises(ApiError) as refused:
        check(library)
    assert refused.value.status == status


def test_a_wheel_is_of_a_package() -> None:
    assert wheel_name({"whl": "/Volumes/a/My_Lib-1.0-py3-none-any.whl"}) == "my-lib"
    assert wheel_name({"pypi": {"package": "x"}}) == ""
