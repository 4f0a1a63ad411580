from __future__ import annotations

import os
from typing import List

from lakekit_api.log_writer import LogWriter

FULL = 1 << 20
"""A number of bytes that is larger than the buffer of a pipe."""


def notice(lines: int) -> bytes:
    return b"dropped %d\n" % lines


def read_until(descriptor: int, last: bytes) -> List[bytes]:
    data = b""
    while last not in data:
        data += os.read(descriptor, FULL)
    return data.splitlines()


def test_lines_are_written_in_order() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(writing, notice)
    for number in range(1000):
        writer.put(b"%d\n" % number)
    assert writer.flush(60)
    assert os.read(reading, FULL).splitlines() == [b"%d" % n for n in range(1000)]
    assert writer.dropped == 0


def test_reader_that_stops_loses_lines_and_gets_their_number() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(writing, notice, FULL)
    for _ in range(3 * FULL // 1000):
        writer.put(b"x" * 999 + b"\n")  # a direct write to the pipe would block
    assert not writer.flush(0.05) and writer.dropped > 0
    data = b""
    # The notice comes first, before the lines that were already waiting when the reader
    # stopped.
    while (kept := data.count(b"x\n")) + writer.dropped < 3 * FULL // 1000:
        data += os.read(reading, FULL)
    assert kept + writer.dropped == 3 * FULL // 1000
    assert writer.flush(60)
    writer.put(b"again\n")
    lines = [*data.splitlines(), *read_until(reading, b"again\n")]
    notices = [line for line in lines if not line.startswith(b"x")]
    assert notices == [b"dropped %d" % writer.dropped, b"again"]


def test_pipe_that_is_closed_or_does_not_block_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LogWriter(writing, notice)
    for _ in range(200):
        writer.put(b"x" * 999 + b"\n")
    writer.put(b"end\n")
    assert len(read_until(reading, b"end")) == 201
    os.close(reading)
    writer.put(b"lost\n")
    assert writer.flush(60) and writer.dropped == 1
