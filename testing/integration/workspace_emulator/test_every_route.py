"""Tests that a real client has requested every route of the emulator. The test runs
last, because it reads the emulator's record of all requests.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workspace_emulator.launch import Emulator
from workspace_emulator.server import Server


def test_no_route_is_served_that_no_client_has_asked_for(
    emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ours = {
        item.path.name
        for item in request.session.items
        if item.path.parent == Path(__file__).parent
    }
    missing = {file.name for file in Path(__file__).parent.glob("test_*.py")} - ours
    if missing:
        pytest.skip(
            "judges the record of all these tests together; not run:"
            f" {', '.join(sorted(missing))}"
        )

    def named(method: str, path: str) -> str:
        """Return the route without the API version. All versions have the same
        implementation.
        """
        return f"{method} {re.sub(r'/api/2[.][0-9]/', '/api/', path)}"

    server = Server(tmp_path, "token", emulator.url)
    served = {
        named(route.method, re.sub(r":[^{}]*(?=})", "", route.path)).replace(
            "{path}", "{path}"
        )
        for route in server.routes()
        if not route.path.startswith("/emulator")
    }
    asked = {
        named(each["method"], each["route"])
        for each in emulator.requests()
        if (each["status"] or 599) < 300
    }
    server.store.close()
    assert served - asked == set()
