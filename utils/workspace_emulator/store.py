"""Stores the workspace's documents in a SQLite database. No document is lost if the
emulator is killed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Store:
    """Documents by kind and id. A store may be used only in the event loop's thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS documents (number INTEGER PRIMARY KEY, kind"
            " TEXT, id TEXT, body TEXT, UNIQUE (kind, id))"
        )

    def collection(self, kind: str) -> Collection:
        """Return the documents of one kind, as a persistent mapping."""
        return Collection(self._connection, kind)

    def next_number(self, kind: str) -> int:
        """Return the next number (1, 2, 3, ...) of a kind. Numbers are never reused."""
        counters = self.collection("counter")
        number = int(counters.get(kind, {"value": 0})["value"]) + 1
        counters[kind] = {"value": number}
        return number

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of a `with` block. After an exception, all these writes are
        rolled back.
        """
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class Collection(MutableMapping[str, Document]):
    """The documents of one kind by id, in insertion order. A returned document is a
    copy. To store a changed document, assign it again.
    """

    def __init__(self, connection: sqlite3.Connection, kind: str) -> None:
        self._connection = connection
        self._kind = kind

    def __getitem__(self, key: str) -> Document:
        row = self._connection.execute(
            "SELECT body FROM documents WHERE kind = ? AND id = ?", (self._kind, key)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        document: Document = json.loads(row[0])
        return document

    def __setitem__(self, key: str, document: Document) -> None:
        self._connection.execute(
            "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (self._kind, key, json.dumps(document)),
        )

    def __delitem__(self, key: str) -> None:
        done = self._connection.execute(
            "DELETE FROM documents WHERE kind = ? AND id = ?", (self._kind, key)
        )
        if not done.rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        rows = self._connection.execute(
            "SELECT id FROM documents WHERE kind = ? ORDER BY number", (self._kind,)
        )
        return iter([row[0] for row in rows.fetchall()])

    def __len__(self) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM documents WHERE kind = ?", (self._kind,)
        )
        return int(row.fetchone()[0])

    def change(self, key: str, **fields: Any) -> Document:
        """Set fields of a document and return it."""
        document = {**self[key], **fields}
        self[key] = document
        return document
