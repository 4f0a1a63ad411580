"""A tool that survives SIGINT, SIGHUP and SIGTERM, and has a child and a grandchild
that survive them, too. The grandchild has a session of its own.

Each process keeps the pipe `tools` open while it lives, and writes its process id and a
line for every SIGTERM to the pipe.
"""

import os
import signal
import subprocess
import sys
from types import FrameType


def note(number: int, frame: FrameType | None) -> None:
    os.write(pipe, b"asked\n")


generation = int(sys.argv[1]) if len(sys.argv) > 1 else 0
pipe = os.open("tools", os.O_WRONLY)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, note)
if generation == 2:
    os.setsid()
else:
    subprocess.Popen([sys.executable, __file__, str(generation + 1)])
os.write(pipe, f"{os.getpid()}\n".encode())
while True:
    signal.pause()
