"""Bearer tokens, of which the service stores only the SHA-256. A token has 256 random
bits, so a plain hash cannot be guessed.

A line of a tokens file is `NAME TABLES sha256:HEX`. TABLES are table names separated by
commas, or `*`; `#` starts a comment. The name is written to the logs.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import FrozenSet, Optional, Sequence, Tuple

from lakekit_api.errors import StartupError

LINE = re.compile(
    r"(?P<name>[\w.@-]{1,64})\s+(?P<tables>\S+)\s+sha256:(?P<digest>[0-9a-f]{64})"
)
ALL = "*"
MAKE = "Make a line with `lakekit-api token --name NAME --tables TABLE`."


@dataclass(frozen=True)
class Token:
    """The name of a token's holder, and the tables that it allows."""

    name: str
    tables: FrozenSet[str]
    digest: str

    def opens(self, table: str) -> bool:
        return ALL in self.tables or table in self.tables

    def line(self) -> str:
        """Return the token's line in a tokens file."""
        return f"{self.name} {','.join(sorted(self.tables))} sha256:{self.digest}"


def make(name: str, tables: Sequence[str]) -> Tuple[str, Token]:
    """Return a new secret, and the token to store. Raises StartupError for a name that
    a line cannot contain.
    """
    secret = f"lkt_{secrets.token_urlsafe(32)}"
    token = Token(name, frozenset(tables), _digest(secret))
    if LINE.fullmatch(token.line()) is None:
        raise StartupError(
            f"{name!r} is no name for a token",
            "Use up to 64 letters, digits and . _ @ -",
        )
    return secret, token


def read(text: str, source: str, declared: Sequence[str]) -> Tuple[Token, ...]:
    """Return the tokens of a file or a variable. Raises StartupError with the number,
    but not the text, of an invalid line.
    """
    found = []
    for number, line in enumerate(text.replace(";", "\n").splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        match = LINE.fullmatch(entry)
        if match is None:
            raise StartupError(
                f"{source}, line {number}, is not NAME TABLES sha256:HEX", MAKE
            )
        tables = frozenset(match["tables"].split(","))
        check(tables, declared, f"{source}, line {number}")
        found.append(Token(match["name"], tables, match["digest"]))
    return tuple(found)


def check(tables: FrozenSet[str], declared: Sequence[str], where: str) -> None:
    """Raise StartupError for a scope that is not a table: it would silently allow
    nothing.
    """
    for table in sorted(tables - set(declared) - {ALL}):
        nearest = difflib.get_close_matches(table, declared, n=1, cutoff=0.0)
        raise StartupError(
            f"{where}: there is no table {table}",
            f"Did you mean {nearest[0] if nearest else ALL}?",
        )


def find(tokens: Sequence[Token], secret: str) -> Optional[Token]:
    """Return the token of a secret. Every hash is compared in constant time, so the
    duration reveals nothing.
    """
    digest, found = _digest(secret), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
