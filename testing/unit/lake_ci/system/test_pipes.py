"""The output of a child process is read to the last byte, even if the reader is
slow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from lake_ci.system.pipes import Reader

LIMIT = 60
Ends = tuple[int, int]
TEXT = "".join(f"line {number}\n" for number in range(5000))


@pytest.fixture
def pipe() -> Iterator[Ends]:
    """Yield a pipe whose write end stays open, as if a daemon had inherited it."""
    ends = os.pipe()
    yield ends
    os.close(ends[1])


def test_pipe_held_open_ends_with_its_child(pipe: Ends) -> None:
    reader = Reader(os.fdopen(pipe[0], "rb"), None)
    os.write(pipe[1], b"one\ntwo")
    assert reader.text() == "one\ntwo"


def test_text_in_the_pipe_is_read_whole(pipe: Ends) -> None:
    slow, lines = threading.Event(), []

    def echo(line: str) -> None:
        assert slow.wait(LIMIT)
        lines.append(line)

    reader = Reader(os.fdopen(pipe[0], "rb"), echo)
    os.write(pipe[1], TEXT.encode())
    texts: list[str] = []
    ending = threading.Thread(target=lambda: texts.append(reader.text()))
    ending.start()
    slow.set()
    ending.join(LIMIT)
    assert (texts, "".join(lines)) == ([TEXT], TEXT)


def test_text_after_the_end_is_not_waited_for(pipe: Ends) -> None:
    reader = Reader(os.fdopen(pipe[0], "rb"), None)
    assert reader.text() == ""
    with pytest.raises(BrokenPipeError):
        os.write(pipe[1], b"late\n")
