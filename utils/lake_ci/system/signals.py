"""Handles signals: the first one ends the run cleanly; later ones have no effect."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from lake_ci.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PARENT_CHECK_SECONDS = 0.5


def install() -> None:
    """Raise `Interrupted`, a KeyboardInterrupt, in the main thread on a signal.

    The signals are SIGINT, SIGTERM and SIGHUP. nox does not handle SIGTERM: without
    this function, no `finally` block would run and no result would be written. A clean
    end takes a second or two, and a second Ctrl-C does not interrupt it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    seen: list[str] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if not seen:
            seen.append(signal.Signals(number).name)
            raise Interrupted(seen[0])

    for number in SIGNALS:
        # `nohup` and background shells ignore a signal on purpose: do not handle such a
        # signal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def end_with_parent() -> None:
    """Send this process a SIGTERM once its parent has ended.

    Otherwise an orphan could continue a deploy. After a kill -9 of nox, its children
    get no signal; on every system they can only see that their parent's id changed.
    """
    parent = os.getppid()
    never = threading.Event()

    def watch() -> None:
        while not never.wait(PARENT_CHECK_SECONDS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
