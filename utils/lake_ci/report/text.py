"""Replaces characters that could hide or reorder the text of tools by visible text."""

from __future__ import annotations

import re
from urllib.parse import quote

# Colors, cursor movements and window titles.
ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])"
)
# Control characters except tab and newline, zero-width and bidirectional marks, lone
# surrogates, and tag characters. CVE-2021-42574 explains the risk.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Return the text without terminal colors, and with hidden characters replaced.

    Each hidden character is replaced by its code, for example `⟨U+202E⟩`.
    """
    if text.isascii() and text.isprintable():
        return text
    text = ANSI.sub("", text.replace("\r\n", "\n"))
    return HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def one_line(text: str) -> str:
    """Return the visible text on one line."""
    return " ".join(visible(text).split())


def shorten(text: str, limit: int) -> str:
    """Return the text, shortened in the middle if it is longer than the limit.

    A line in the middle states the number of characters that were left out.
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return (
        f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out"
        f" …\n{text[-half:]}"
    )


def link(base: str, file: str | None, line: int | None = None) -> str | None:
    """Return the URL of a repository file below `base`, or None.

    The result is None for a path that leads out of the repository. A character is
    encoded if it could end the path, or turn the path into a scheme (`javascript:`).
    """
    if not file or file.startswith("/") or "\\" in file or ".." in file.split("/"):
        return None
    path = quote(file, safe="/", errors="replace")
    return f"{base}{path}" + (f"#L{line}" if line else "")


def anchor(name: str) -> str:
    """Return the HTML id of a job or a session in the page."""
    return "job-" + "".join(
        char if char.isalnum() and char.isascii() or char in "._-" else "-"
        for char in name
    )
