"""Tests that no request makes the emulator fail. The response to a wrong body must have
a status 4xx.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from workspace_emulator.routing import Route
from workspace_emulator.server import Server

TOKEN = "dapi-hostile"
FIELD = re.compile(r'"([a-z][a-z0-9_]*)"')
RAW = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff\xfe",
    b"[]",
    b'"text"',
    b"NaN",
    b"{",
    b'{"a": 1e400}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\\ud800"}',
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "\0",
    "\ud800",
    "../" * 50,
    "/" * 300,
    "x" * 5000,
    "9" * 5000,
    [],
    [None],
    [[]],
    {},
    {"": None},
    {"a": {"b": []}},
    "dbfs:/a",
    "/Volumes/a/b/c/d",
    1,
    "1",
]
ROUNDS = 2


def fields(route: Route) -> list[str]:
    """Return all possible field names of a route: all suitable words in the code of the
    handler's package.
    """
    folder = Path(inspect.getfile(inspect.unwrap(route.handler))).parent
    text = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    return sorted(set(FIELD.findall(text)))


def bodies(chance: random.Random, names: list[str]) -> Iterator[bytes]:
    """Generate request bodies. Some bodies are malformed; all others are objects with
    wrong values.
    """
    yield from RAW
    for _ in range(ROUNDS):
        some = chance.sample(names, chance.randint(1, len(names)))
        yield json.dumps({name: wrong(chance, names) for name in some}).encode()


def wrong(chance: random.Random, names: list[str], depth: int = 0) -> Any:
    """Return a random value of any type: a simple value, an object, or a list of
    objects.
    """
    if depth < 3 and chance.random() < 0.3:
        some = chance.sample(names, min(len(names), 12))
        inner = {name: wrong(chance, names, depth + 1) for name in some}
        return chance.choice([inner, [inner]])
    return chance.choice(VALUES)


def path_of(route: Route, chance: random.Random) -> str:
    """Return the path of a route, with a random value for each variable."""
    parts = ["1", "a", "%00", "%2e%2e%2f", "9" * 30, "%ff"]
    return re.sub(r"\{[^{}]*\}", lambda _: "/" + chance.choice(parts), route.path)


def test_every_hostile_request_is_answered_below_500(tmp_path: Path) -> None:
    failed: dict[str, str] = {}

    async def attack() -> int:
        server = Server(tmp_path, TOKEN, "http://127.0.0.1:1")
        chance = random.Random(20261129)
        sent = 0
        async with TestClient(TestServer(server.application())) as client:
            for route in server.routes():
                if route.path.startswith("/emulator"):
                    continue
                for body in bodies(chance, fields(route)):
                    path = path_of(route, chance)
                    answer = await client.request(
                        route.method,
                        path,
                        data=io.BytesIO(body),
                        headers={"Authorization": f"Bearer {TOKEN}"},
                    )
                    text = (await answer.read())[:200]
                    sent += 1
                    if answer.status >= 500 and answer.status != 501:
                        shown = f"{text!r} for {body[:80]!r}"
                        failed[f"{route.method} {route.path}"] = shown
        return sent

    sent = asyncio.run(attack())
    assert sent > 1000
    assert failed == {}
