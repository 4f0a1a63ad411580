"""Reads unified diffs, the format in which black and isort print changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


def first_changes(text: str) -> Iterator[tuple[str, int]]:
    """Yield each file of a diff, and the number of the file's first changed line.

    A removed line may begin with `---`, too, so a `---` line is a header only if a
    `+++` line follows.
    """
    lines = text.splitlines()
    file: str | None = None
    for number, line in enumerate(lines):
        header = (
            line.startswith("--- ")
            and number + 1 < len(lines)
            and lines[number + 1].startswith("+++ ")
        )
        if header:
            file = line[4:].split("\t")[0]
        hunk = HUNK.match(line)
        if hunk and file is not None:
            at = int(hunk[1])
            for body in lines[number + 1 :]:
                if body[:1] in "+-":
                    break
                at += 1
            yield file, max(at, 1)
            file = None
