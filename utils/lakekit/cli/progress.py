"""The progress of a run as one line on a terminal."""

from __future__ import annotations

import shutil
from typing import TextIO

from lakekit.cli.text import visible


class ProgressLine:
    """Prints the current step in place of the previous step.

    At the end of the run, the line is erased.

    A ProgressLine is a callback for `lakekit.run`. On the terminal, a step looks like
    `3 of 14 silver.flights: update`.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal, self._width = terminal, 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._print("")
        self._terminal.write("\r")
        self._terminal.flush()

    def __call__(self, doing: str, done: int, steps: int) -> None:
        """Print a step. An empty `doing` means that all steps are finished."""
        step = min(done + 1, steps)
        self._print(f"{step} of {steps}  {visible(doing)}" if doing else "")

    def _print(self, text: str) -> None:
        # A longer text would continue on a second line, which "\r" does not erase.
        text = text[: shutil.get_terminal_size().columns - 1]
        self._terminal.write("\r" + text.ljust(self._width))
        self._terminal.flush()
        self._width = len(text)
