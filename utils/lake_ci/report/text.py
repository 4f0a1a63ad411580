"""Text that tools wrote, made harmless: what hides, reorders or breaks text becomes
visible.
"""

from __future__ import annotations

import re
from urllib.parse import quote

# Colours, cursor movements and window titles.
ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])"
)
# Controls but tab and newline, zero-width and bidirectional marks, lone surrogates,
# tags. CVE-2021-42574 tells why.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with `⟨U+202E⟩` for each character that hides or reorders others, and
    without terminal colours.
    """
    if text.isascii() and text.isprintable():
        return text
    text = ANSI.sub("", text.replace("\r\n", "\n"))
    return HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def one_line(text: str) -> str:
    """The visible text on one line."""
    return " ".join(visible(text).split())


def shorten(text: str, limit: int) -> str:
    """The text, or its beginning and its end with the number of characters left out
    between them.
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return (
        f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out"
        f" …\n{text[-half:]}"
    )


def link(base: str, file: str | None, line: int | None = None) -> str | None:
    """The address of a file of the repository below `base`; None for a path that leads
    out of it.

    Every character that could end the path, or make a scheme of it (`javascript:`), is
    encoded.
    """
    if not file or file.startswith("/") or "\\" in file or ".." in file.split("/"):
        return None
    path = quote(file, safe="/", errors="replace")
    return f"{base}{path}" + (f"#L{line}" if line else "")


def anchor(name: str) -> str:
    """The id of a job's or a session's place in the page."""
    return "job-" + "".join(
        char if char.isalnum() and char.isascii() or char in "._-" else "-"
        for char in name
    )
