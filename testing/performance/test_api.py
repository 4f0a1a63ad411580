"""Measures requests for pages of a gold table. Each request runs a query. The
application is called directly, without a server and a network.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from testing.performance.conftest import Measure
from testing.performance.test_medallion import SAMPLE

REQUESTS = 60
CARRIERS = ("9E", "AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN")


async def get(app: Any, path: str, query: str) -> int:
    """Send a request, read the whole response, and return its status."""
    said: list[int] = []
    headers = [(b"host", b"localhost"), (b"accept", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    await app(scope, receive, send)
    return said[0]


@pytest.mark.exercises("api/*", "utils/lakekit/*")
def test_api_queries(measure: Measure, tmp_path: Path) -> None:
    import lakekit
    from lakekit_api.app import create_app
    from lakekit_api.settings import Settings

    lakekit.run(SAMPLE, tmp_path / "lake")
    settings = Settings(
        lake=str(tmp_path / "lake"),
        no_auth=True,
        host="127.0.0.1",
        cache=0,
        log_level="error",
    )
    app = create_app(settings)
    queries = [
        f"carrier={CARRIERS[turn % len(CARRIERS)]}&sort=-flights"
        for turn in range(REQUESTS)
    ]

    async def all_of_them() -> list[int]:
        return [
            await get(app, "/gold/delays_by_carrier_day", query) for query in queries
        ]

    statuses = measure(lambda: asyncio.run(all_of_them()))
    assert statuses == [200] * REQUESTS
