from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web

from workspace_emulator.faults.injection import injected
from workspace_emulator.faults.rules import Rule
from workspace_emulator.runtime.background import Background


class Transport:
    """A fake connection whose client stays connected."""

    def is_closing(self) -> bool:
        return False


class Request:
    """A fake request with only the attributes that faults use."""

    transport = Transport()


def test_slow_answer_comes_after_the_seconds_of_its_rule() -> None:
    order: list[object] = []

    async def sleep(seconds: float) -> None:
        order.append(seconds)

    async def answer() -> web.StreamResponse:
        order.append("answered")
        return web.Response(text="late")

    async def play(when: str) -> web.StreamResponse:
        rule = Rule("slow", when=when, seconds=7.5)
        request = cast(web.Request, Request())
        return await injected(rule, request, answer, Background(), sleep)

    answers = [asyncio.run(play(when)) for when in ("before", "after")]
    assert order == [7.5, "answered", "answered", 7.5]
    assert [answer.status for answer in answers] == [200, 200]
