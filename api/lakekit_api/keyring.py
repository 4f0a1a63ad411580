"""Manages the tokens from the environment and from a file. The file is read again when
it changes.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

from lakekit_api.errors import StartupError
from lakekit_api.logs import log
from lakekit_api.tokens import MAKE, Token, read, read_valid

POLL_SECONDS = 0.5


class TokenFile:
    """A tokens file. The constructor raises StartupError if the file is invalid.

    If a line becomes invalid later, an error is logged, and the token of the line is no
    longer accepted. If the file can no longer be read, none of its tokens is accepted.
    Changes are detected by comparing the content, because Kubernetes does not write the
    file when a Secret changes: it replaces a link to the file's folder.
    """

    def __init__(self, path: str, declared: Sequence[str]) -> None:
        self._path, self._declared = Path(path), declared
        try:
            text = self._text()
        except (OSError, UnicodeDecodeError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
            )
            raise StartupError(f"{path}: {reason}", MAKE) from None
        self.tokens = read(text, path, declared)
        self._applied: Optional[str] = text
        self._seen: Optional[str] = text

    def poll(self) -> None:
        """Read the file. New content is used only after two consecutive reads have
        returned it, because an editor may write the file in parts.
        """
        try:
            text: Optional[str] = self._text()
        except (OSError, UnicodeDecodeError):
            text = None
        if text == self._seen and text != self._applied:
            self._apply(text)
        self._seen = text

    def _apply(self, text: Optional[str]) -> None:
        self._applied = text
        source = str(self._path)
        if text is None:
            self.tokens = ()
            problems = [f"{source} cannot be read: its tokens are no longer accepted"]
        else:
            self.tokens, problems = read_valid(text, source, self._declared)
        for problem in problems:
            log(logging.ERROR, "a token is not valid", reason=problem)
        log(logging.INFO, "tokens were read again", tokens=len(self.tokens))

    def _text(self) -> str:
        return self._path.read_text(encoding="utf-8-sig")


class Keyring:
    """The tokens of the environment and of the tokens file."""

    def __init__(
        self, fixed: Sequence[Token] = (), file: Optional[TokenFile] = None
    ) -> None:
        self._fixed, self._file = tuple(fixed), file

    @property
    def tokens(self) -> Tuple[Token, ...]:
        """Return all current tokens. Some may have expired."""
        return self._fixed + (() if self._file is None else self._file.tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    async def watch(self) -> None:
        """Poll the file in a thread until this task is cancelled."""
        while self._file is not None:
            await asyncio.sleep(POLL_SECONDS)
            await asyncio.get_running_loop().run_in_executor(None, self._file.poll)
