"""Signals: the first one ends the run in good order, whoever sends it; later ones
change nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from lake_ci.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PARENT_CHECK_SECONDS = 0.5


def install() -> None:
    """Raise `Interrupted`, a KeyboardInterrupt, in the main thread on SIGINT, SIGTERM
    and SIGHUP.

    nox sets no handler for SIGTERM, so without this no `finally` runs and no result is
    written. Ending takes a second or two, in which a second Ctrl-C must not break it
    off half way.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    seen: list[str] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if not seen:
            seen.append(signal.Signals(number).name)
            raise Interrupted(seen[0])

    for number in SIGNALS:
        # `nohup` and background shells ignore a signal on purpose; leave that as it is.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def end_with_parent() -> None:
    """Send this process a SIGTERM once its parent is gone, so that no orphan continues
    a deploy.

    A kill -9 of the outer nox reaches nobody else; a changed parent id is the one trace
    it leaves on every system.
    """
    parent = os.getppid()
    never = threading.Event()

    def watch() -> None:
        while not never.wait(PARENT_CHECK_SECONDS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
