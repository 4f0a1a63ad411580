"""Seeds a slowdown of a known size in one transform, to test whether the benchmark
finds it.
"""

from __future__ import annotations

from pathlib import Path

FILE = "utils/lakekit/commands/run.py"
UPDATE = "\n            done = retried(update)\n"
# The additional processor time does not depend on other load of the machine.
SLOWER = """
            cpu = time.process_time()
            done = retried(update)
            until = time.process_time() + {share} * (time.process_time() - cpu)
            while table.name == {table!r} and time.process_time() < until:
                pass
"""


def slow_down(root: Path, table: str, share: float) -> None:
    """Change a transform of the repository so that it needs more processor time by
    `share`; 0.3 means 30 %.

    Raises ValueError if the line to replace does not exist.
    """
    text = (root / FILE).read_text(encoding="utf-8")
    if text.count(UPDATE) != 1:
        raise ValueError(
            f"{FILE} no longer holds the line to be seeded: {UPDATE.strip()}"
        )
    slower = text.replace(UPDATE, SLOWER.format(share=share, table=table))
    (root / FILE).write_text(slower, encoding="utf-8")
