"""Draw the terminal output of a command as an SVG picture for the README.

`nox -s pictures` calls this script. The command runs in a pseudo-terminal, so the
picture shows the last state of the live board, as in a real terminal. The options
--first and --then select two lines; dots replace the lines between these two lines.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 84, 50
REDRAW = re.compile(r"\x1b\[(\d+)A\x1b\[J")
# rich's default template would load a font from the network.
TEMPLATE = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
{styles}
</style>
<rect fill="#16181d" width="{width}" height="{height}" rx="8"/>
<g transform="translate(9, 18)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record(command: list[str]) -> tuple[str, int]:
    """Run a command in a pseudo-terminal. Returns the output and the exit code of the
    command.
    """
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
    }
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=env,
        close_fds=True,
    )
    os.close(follower)
    output = io.BytesIO()
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux raises EIO when the other side is closed
            break
        if not piece:
            break
        output.write(piece)
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    os.close(leader)
    return output.getvalue().decode("utf-8", errors="replace"), process.wait()


def shown_lines(output: str) -> list[str]:
    """Return the lines that remain on the screen. Each redraw of the board replaces the
    lines of the previous redraw.
    """
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        while redraw := REDRAW.search(line):
            back = int(redraw[1])
            lines = lines[: len(lines) - back]
            line = line[redraw.end() :]
        lines.append(line.rsplit("\r", 1)[-1])
    return lines


def excerpt(lines: list[str], first: str, then: str) -> list[str]:
    """Shorten the output: return the first line that contains `first`, then three dots,
    then everything from the last line that starts with `then`.
    """
    start = next((number for number, line in enumerate(lines) if first in line), 0)
    found = [number for number, line in enumerate(lines) if line.startswith(then)]
    return (
        [lines[start], "   ⋮", *lines[found[-1] :]]
        if found and found[-1] > start + 2
        else lines[start:]
    )


def draw(lines: list[str]) -> str:
    """Return the lines as SVG; the ANSI codes in the lines define the colors."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True
    )
    console.print(Text.from_ansi("\n".join(lines).rstrip()))
    return console.export_svg(code_format=TEMPLATE, unique_id="run")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("--first", default="", help="start at the line with this text")
    parser.add_argument(
        "--then",
        default="",
        help="continue with the last line that starts with this text",
    )
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    output, code = record(arguments.command)
    shown = (
        excerpt(shown_lines(output), arguments.first, arguments.then)
        if arguments.first
        else shown_lines(output)
    )
    prompt = "$ " + " ".join(arguments.command)
    arguments.picture.write_text(draw([prompt, *shown]), encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    main()
