"""Bearer tokens. The service stores only the SHA-256 of a token. A token has 256 random
bits. Because a token is random, it cannot be guessed from its hash, and the hash needs
no salt.

A line of a tokens file is `NAME TABLES sha256:HEX`, followed by `expires:INSTANT` if
the token expires. TABLES are table names separated by commas, or `*`. `#` starts a
comment. NAME appears in the logs.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import FrozenSet, Iterator, List, Optional, Sequence, Tuple

from lakekit_api import values
from lakekit_api.errors import StartupError

LINE = re.compile(
    r"(?P<name>[\w.@-]{1,64})\s+(?P<tables>\S+)\s+sha256:(?P<digest>[0-9a-f]{64})"
    r"(\s+expires:(?P<expires>\S+))?"
)
UTC = datetime.timezone.utc
UNITS = {"d": "days", "h": "hours", "m": "minutes"}
ALL = "*"
MAKE = "Make a line with `lakekit-api token --name NAME --tables TABLE`."


@dataclass(frozen=True)
class Token:
    """A token: the name of its holder, and the tables that the holder may read."""

    name: str
    tables: FrozenSet[str]
    digest: str
    expires: Optional[datetime.datetime] = None

    def expired(self, now: datetime.datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def opens(self, table: str) -> bool:
        return ALL in self.tables or table in self.tables

    def line(self) -> str:
        """Return the token's line in a tokens file."""
        line = f"{self.name} {','.join(sorted(self.tables))} sha256:{self.digest}"
        if self.expires is None:
            return line
        return f"{line} expires:{self.expires:%Y-%m-%dT%H:%M:%SZ}"


def expiry(text: str, now: datetime.datetime) -> datetime.datetime:
    """Return the instant at which a token expires, given the text of --expires.

    The text is a date, an instant, or a duration from now such as 90d, 12h or 30m. With
    a date, the token expires at the end of that day in UTC. Raises StartupError if the
    text is not valid, or if the instant is not in the future.
    """
    duration = re.fullmatch(r"([0-9]{1,6})([dhm])", text)
    try:
        if duration is not None:
            wanted = {UNITS[duration[2]]: int(duration[1])}
            found = now + datetime.timedelta(**wanted)
        elif re.fullmatch(r"[0-9-]{10}", text):
            day = datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)
            found = day + datetime.timedelta(days=1)
        else:
            found = values.parse("timestamp", text).replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError):
        raise StartupError(
            f"--expires: {text} is not a date, instant or duration",
            "Write 2027-01-31, 2027-01-31T17:00:00Z, 90d, 12h or 30m.",
        ) from None
    if found <= now:
        raise StartupError(
            f"--expires: {text} is not in the future", "Use a later time."
        )
    return found


def make(
    name: str, tables: Sequence[str], expires: Optional[datetime.datetime] = None
) -> Tuple[str, Token]:
    """Create a token. Returns the secret, and the Token with the hash of the secret.
    Raises StartupError if the name is not valid in a tokens file.
    """
    secret = f"lkt_{secrets.token_urlsafe(32)}"
    token = Token(name, frozenset(tables), _digest(secret), expires)
    if LINE.fullmatch(token.line()) is None:
        raise StartupError(
            f"{name!r} is not a valid token name",
            "Use up to 64 letters, digits and . _ @ -",
        )
    return secret, token


def read(text: str, source: str, declared: Sequence[str]) -> Tuple[Token, ...]:
    """Return the tokens of a file or a variable. Raises StartupError for an invalid
    line. The message contains the number of the line, but not its text.
    """
    return tuple(_token(*each, declared) for each in _entries(text, source))


def read_valid(
    text: str, source: str, declared: Sequence[str]
) -> Tuple[Tuple[Token, ...], List[str]]:
    """Return the tokens in the valid lines, and a message for each invalid line."""
    found, problems = [], []
    for entry, where in _entries(text, source):
        try:
            found.append(_token(entry, where, declared))
        except StartupError as error:
            problems.append(str(error))
    return tuple(found), problems


def _entries(text: str, source: str) -> Iterator[Tuple[str, str]]:
    """Yield each line and its location, except empty lines and comments."""
    for number, line in enumerate(text.replace(";", "\n").splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if entry:
            yield entry, f"{source}, line {number}"


def _token(entry: str, where: str, declared: Sequence[str]) -> Token:
    match = LINE.fullmatch(entry)
    if match is None:
        raise StartupError(
            f"{where} does not have the form NAME TABLES sha256:HEX [expires:INSTANT]",
            MAKE,
        )
    tables = frozenset(match["tables"].split(","))
    check(tables, declared, where)
    expires = None
    if match["expires"] is not None:
        try:
            expires = values.parse("timestamp", match["expires"]).replace(tzinfo=UTC)
        except (ValueError, TypeError):
            raise StartupError(
                f"{where}: the expiry is not an instant such as 2027-01-31T17:00:00Z",
                MAKE,
            ) from None
    return Token(match["name"], tables, match["digest"], expires)


def check(tables: FrozenSet[str], declared: Sequence[str], where: str) -> None:
    """Raise StartupError if one of the tables is not declared. A token for a table that
    is not declared would silently allow nothing.
    """
    for table in sorted(tables - set(declared) - {ALL}):
        nearest = difflib.get_close_matches(table, declared, n=1, cutoff=0.0)
        raise StartupError(
            f"{where}: there is no table {table}",
            f"Did you mean {nearest[0] if nearest else ALL}?",
        )


def find(tokens: Sequence[Token], secret: str) -> Optional[Token]:
    """Return the token that has this secret, or None if no token has this secret. All
    hashes are compared in constant time, so the response time reveals nothing about the
    hashes.
    """
    digest, found = _digest(secret), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
