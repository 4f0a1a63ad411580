"""Runs named tasks on the event loop in the background, and waits for conditions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """Named background tasks. At most one task runs per name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task. If a task with this name is running, it is canceled first."""
        self.cancel(name)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def runs(self, name: str) -> bool:
        """Return whether a task with this name is running."""
        return name in self._tasks

    def cancel(self, name: str) -> None:
        """Cancel the task with this name, if it is running."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def changed(self) -> None:
        """Make all calls of `until` check their conditions again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true. The condition is checked again after each
        call of `changed`.
        """
        while not condition():
            await self._changed.wait()

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tasks.get(task.get_name()) is task:
            del self._tasks[task.get_name()]
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "%s failed inside the emulator",
                task.get_name(),
                exc_info=task.exception(),
            )
        self.changed()
