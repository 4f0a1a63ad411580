"""A slow-down of a known size in one transform: what the gate is shown, to see whether
it finds it.
"""

from __future__ import annotations

from pathlib import Path

FILE = "utils/lakekit/commands/run.py"
UPDATE = "        done = retried(update)\n"
# More work for the processor, whatever else the machine does.
SLOWER = """\
        cpu = time.process_time()
        done = retried(update)
        until = time.process_time() + {share} * (time.process_time() - cpu)
        while table.name == {table!r} and time.process_time() < until:
            pass
"""


def slow_down(root: Path, table: str, share: float) -> None:
    """Let one transform of that repository take so much more of the processor's time;
    0.3 is 30 %.

    Raises ValueError where the line to be replaced is no longer there.
    """
    text = (root / FILE).read_text(encoding="utf-8")
    if text.count(UPDATE) != 1:
        raise ValueError(
            f"{FILE} no longer holds the line to be seeded: {UPDATE.strip()}"
        )
    slower = text.replace(UPDATE, SLOWER.format(share=share, table=table))
    (root / FILE).write_text(slower, encoding="utf-8")
