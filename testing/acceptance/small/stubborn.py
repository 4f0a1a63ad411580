"""A tool that ignores SIGINT, SIGHUP and SIGTERM. The tool starts a child process, and
the child starts a grandchild. All three processes ignore SIGINT, SIGHUP and SIGTERM.
The grandchild has its own process session.

Each process keeps the pipe `tools` open until it ends. Each process writes its process
id to the pipe, and a line for every SIGTERM.
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
