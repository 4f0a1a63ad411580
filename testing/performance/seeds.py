"""Makes one transform slower by a known share, to test whether a benchmark finds the
slowdown.
"""

from __future__ import annotations

from pathlib import Path

FILE = "utils/lakekit/commands/run.py"
UPDATE = "\n            done = retried(update)\n"
# The code adds processor time and no waiting time, so that the load of other programs
# does not change the share.
SLOWER = """
            cpu = time.process_time()
            done = retried(update)
            until = time.process_time() + {share} * (time.process_time() - cpu)
            while table.name == {table!r} and time.process_time() < until:
                pass
"""


def slow_down(root: Path, table: str, share: float) -> None:
    """Change lakekit's code so that a transform needs more processor time. `share` is
    the share of additional processor time: 0.3 means 30 %.

    Raises ValueError if the line to replace does not exist.
    """
    text = (root / FILE).read_text(encoding="utf-8")
    if text.count(UPDATE) != 1:
        raise ValueError(
            f"{FILE} no longer holds the line to be seeded: {UPDATE.strip()}"
        )
    slower = text.replace(UPDATE, SLOWER.format(share=share, table=table))
    (root / FILE).write_text(slower, encoding="utf-8")
