"""Handles signals: the first signal ends the run cleanly; later signals are ignored."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from lake_ci.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PARENT_CHECK_SECONDS = 0.5


def install() -> None:
    """Install a handler that raises `Interrupted` in the main thread on a signal.

    `Interrupted` is a KeyboardInterrupt. The signals are SIGINT, SIGTERM and SIGHUP.
    Without this handler, no `finally` block would run and no result would be written,
    because nox does not handle SIGTERM. A clean end takes a second or two. A second
    Ctrl-C does not interrupt this clean end.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    seen: list[str] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if not seen:
            seen.append(signal.Signals(number).name)
            raise Interrupted(seen[0])

    for number in SIGNALS:
        # `nohup` and background shells start this process with ignored signals. Do not
        # handle a signal that is ignored on purpose.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def end_with_parent() -> None:
    """Send this process a SIGTERM once its parent has ended.

    Otherwise this process could continue a deploy after nox has ended. If nox is killed
    with SIGKILL, its children get no signal. On all systems, the children can only see
    that the id of their parent changes.
    """
    parent = os.getppid()
    never = threading.Event()

    def watch() -> None:
        while not never.wait(PARENT_CHECK_SECONDS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
