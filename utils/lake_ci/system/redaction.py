"""Replaces secrets in output: finds variables that contain secrets, and redacts text.

All output of the suite passes through a `Redactor`: the output of children, results,
reports, messages and the ledger of deploys. The suite redacts a text before it encodes
or shortens the text. Secrets that other programs have encoded are replaced, too.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

from lake_ci.system.atomic_write import write_atomically

HIDDEN = "[hidden]"
# Shorter values are not redacted, because they may be words such as `testing`, which
# moto's documentation uses as a key. Replacing such words would make paths and messages
# unreadable.
SHORTEST = 8
# The names of variables that contain a secret. Names that end in _FILE or _ID do not
# match. A name that ends in _URL matches only for a webhook, whose URL is a secret.
NAMES = re.compile(
    r"(.*_)?(TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|PAT|API_?KEY"
    r"|(ACCESS|ACCOUNT|ENCRYPTION|PRIVATE|SECRET|STORAGE)_KEY"
    r"|CONNECTION_STRING|AUTH_CONFIG|WEBHOOK(_URL)?)"
    r"|TF_TOKEN_.*|(DATABRICKS_)?GOOGLE_CREDENTIALS|PGPASSWORD|.+_(DSN|PWD|SAS)",
    re.IGNORECASE,
)
# The password in `https://user:password@host`, or the token in `https://token@host`.
# The URLs of proxies and package indexes may contain such secrets.
URL_PASSWORD = re.compile(r"://(?:[^\s/:@]*:([^\s/@]+)|([^\s/:@]{20,}))@")
# The secret parts of a connection string, such as `AccountName=a;AccountKey=b`.
PARTS = re.compile(r"(?:key|password|pwd|sig|signature)=([^;&\s]+)", re.IGNORECASE)
PERCENT = re.compile("%[0-9A-F]{2}")
ENCODERS: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: ascii(text)[1:-1],
    lambda text: repr(_bytes(text))[2:-1],
    lambda text: quote(text, safe="", errors="surrogateescape"),
    lambda text: quote(text, safe="/", errors="surrogateescape"),
    lambda text: quote(text, safe="!'()*", errors="surrogateescape"),
    lambda text: quote_plus(text, errors="surrogateescape"),
    lambda text: html.escape(text),
    lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    lambda text: html.escape(text).replace("&#x27;", "'"),
    # Jinja2's templates escape a secret in this way.
    lambda text: html.escape(text)
    .replace("&#x27;", "&#39;")
    .replace("&quot;", "&#34;"),
    lambda text: html.escape(text, quote=False),
    # ElementTree and SAX write XML attributes in these two ways.
    lambda text: _xml_attribute(text, "&#09;"),
    lambda text: _xml_attribute(text, "&#9;"),
    lambda text: shlex.quote(text).strip("'"),
)
# Programs encode these characters in different ways, so the text between them is
# redacted separately.
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
# How many times in succession a text may be encoded. An error message, for example, may
# be the repr of a text that contains JSON.
DEPTH = 2
Value = TypeVar("Value")


class Redactor:
    """Replaces secrets in text.

    Args:
        secrets: the values of the secrets; values with fewer than `SHORTEST` characters
            are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secrets)
        found = {form for secret in self._secrets for form in _forms(secret)}
        # Replace the longest forms first, because a shorter form may be a part of a
        # longer form.
        self._forms = sorted(found, key=lambda form: (-len(form), form))

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Redactor:
        """Return a redactor for the secrets in environment variables."""
        return cls(_secrets(env))

    def including(self, *secrets: str) -> Redactor:
        """Return a redactor that replaces these secrets, too."""
        more = self._secrets.union(secrets)
        return self if more == self._secrets else Redactor(more)

    def including_env(self, env: Mapping[str, str]) -> Redactor:
        """Return a redactor that replaces the secrets in environment variables, too."""
        return self.including(*_secrets(env))

    def __call__(self, text: str) -> str:
        """Return the text with `HIDDEN` in place of each secret."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def tree(self, value: Value) -> Value:
        """Return a copy of a nested value in which all secrets are redacted."""
        return cast(Value, self._tree(value)) if self._forms else value

    def file(self, path: Path) -> bool:
        """Redact the secrets in a file, and return whether it contained any."""
        if not self._forms:
            return False
        before = after = path.read_bytes()
        for form in self._forms:
            after = after.replace(_bytes(form), HIDDEN.encode())
        if after != before:
            write_atomically(path, after)
        return after != before

    def _tree(self, value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, Enum):
            return self(value)
        if isinstance(value, Mapping):
            return {self._tree(key): self._tree(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._tree, value))
        if is_dataclass(value) and not isinstance(value, type):
            found = {each.name: getattr(value, each.name) for each in fields(value)}
            return replace(value, **self._tree(found))
        return value


def holds_secret(name: str, value: str) -> bool:
    """Return whether an environment variable contains a secret."""
    return bool(NAMES.fullmatch(name) or URL_PASSWORD.search(value))


def strip_secrets(env: MutableMapping[str, str]) -> None:
    """Remove white space around the secrets in environment variables.

    A secret that comes from `echo` or a file often ends in a line break. No service
    accepts the line break, and an HTTP header cannot contain it.
    """
    for name, value in list(env.items()):
        if NAMES.fullmatch(name) and value != value.strip():
            env[name] = value.strip()


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in env.items():
        if NAMES.fullmatch(name):
            yield value
            yield from PARTS.findall(value)
        for password, token in URL_PASSWORD.findall(value):
            yield password or token


def _forms(secret: str) -> Iterator[str]:
    """Yield all encoded forms of a secret.

    Each line of a secret counts as a secret.
    """
    whole = secret.strip()
    # If a secret is not UTF-8, output contains replacement characters for its bytes.
    readable = _bytes(whole).decode("utf-8", "replace")
    parts = [*whole.splitlines(), *CONTROL.split(whole)]
    for text in {whole, readable, *map(str.strip, parts)}:
        if len(text) >= SHORTEST:
            yield from _encoded(text)
    if len(whole) >= SHORTEST:
        yield from _base64(_bytes(whole))


def _encoded(text: str) -> set[str]:
    found = {text}
    for _ in range(DEPTH):
        found |= {encode(each) for each in found for encode in ENCODERS}
    return found | {PERCENT.sub(lambda match: match[0].lower(), each) for each in found}


def _xml_attribute(text: str, tab: str) -> str:
    text = html.escape(text, quote=False).replace('"', "&quot;").replace("\t", tab)
    return text.replace("\n", "&#10;").replace("\r", "&#13;")


def _base64(content: bytes) -> Iterator[str]:
    """For each offset, yield the Base64 characters that depend only on the content.

    The offset is zero, one or two bytes: Base64 encodes three bytes as four characters,
    and text may precede the secret. Basic authentication, for example, encodes
    `user:secret`.
    """
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + content).decode().rstrip("=")
        partial = (shift + len(content)) % 3 != 0
        whole = text[-(-8 * shift // 6) : len(text) - partial]
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
