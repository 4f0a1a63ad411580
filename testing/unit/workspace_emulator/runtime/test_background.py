from __future__ import annotations

import asyncio

from workspace_emulator.runtime.background import Background


def test_work_of_one_name_takes_the_place_of_the_one_before() -> None:
    done: list[str] = []

    async def work(name: str, gate: asyncio.Event) -> None:
        await gate.wait()
        done.append(name)

    async def play() -> None:
        background, never, now = Background(), asyncio.Event(), asyncio.Event()
        background.spawn("x", work("first", never))
        background.spawn("x", work("second", now))
        now.set()
        await background.until(lambda: bool(done))
        await background.until(lambda: not background.runs("x"))
        background.spawn("x", work("third", never))
        await background.stop()

    asyncio.run(asyncio.wait_for(play(), 60))
    assert done == ["second"]
