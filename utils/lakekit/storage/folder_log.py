"""Reads a Delta log in a folder without Spark. The log has one JSON file per commit.

Spark would need a job of some seconds to read the log. Reading the log's JSON files
directly is faster, because these files have only a few kilobytes and never change.
Spark is still needed if the files of the first commits no longer exist, for example
after a log cleanup.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import (
    Any,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)
from urllib.parse import unquote

from lakekit.storage.log_actions import fault

COMMIT = re.compile(r"(\d{20})\.json")
Partition = Mapping[str, Optional[str]]
MOST = 200
"""The maximum number of commits to read. For a longer log, Spark is faster, because it
reads checkpoints.
"""


class _AddedFile(NamedTuple):
    """A data file: its number of rows (None if the writer did not record the number),
    its size in bytes, and its partition.
    """

    rows: Optional[int]
    size: int
    partition: Partition

    @classmethod
    def parse(cls, action: Mapping[str, Any]) -> _AddedFile:
        """Return the file of an `add` action."""
        stats = json.loads(action.get("stats") or "{}")
        size = int(action["size"])
        return cls(stats.get("numRecords"), size, action["partitionValues"])


class FolderLog:
    """The log of one table, up to the newest commit that was read."""

    def __init__(self, table: Path) -> None:
        self._folder = table / "_delta_log"
        self._forget()

    def _forget(self) -> None:
        self.version = -1
        self.protocol: Mapping[str, Any] = {}
        self.metadata: Mapping[str, Any] = {}
        self.domains: Dict[str, Mapping[str, Any]] = {}
        self._first: Optional[Tuple[int, int]] = None
        self._files: Dict[str, _AddedFile] = {}
        self._commits: List[Mapping[str, Any]] = []
        self._applications: Dict[str, int] = {}
        self._removed = False

    def update(self) -> bool:
        """Read new commits. Returns False if the JSON files alone are not enough to
        read the log.
        """
        try:
            newest = self._newest()
            first = (self._folder / f"{0:020}.json").stat()
            identity = (first.st_ino, first.st_mtime_ns)
            if identity != self._first or newest < self.version:
                # Another table now has this name.
                self._forget()
                self._first = identity
            if newest >= MOST:
                return False
            for version in range(self.version + 1, newest + 1):
                text = (self._folder / f"{version:020}.json").read_text(
                    encoding="utf-8"
                )
                actions = [json.loads(line) for line in text.split("\n") if line]
                if not actions or any(map(fault, actions)):
                    raise ValueError(version)
                self._read(actions)
                self.version = version
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._forget()
            return False
        return bool(self.protocol) and bool(self.metadata)

    def _newest(self) -> int:
        names = (COMMIT.fullmatch(file.name) for file in self._folder.iterdir())
        return max((int(name.group(1)) for name in names if name), default=-1)

    def rows(self) -> Optional[int]:
        """Return the number of rows of the table; None if the number of rows of a file
        is not in the log.
        """
        counts = [file.rows for file in self._files.values()]
        return None if None in counts else sum(count or 0 for count in counts)

    def sizes(self) -> Mapping[str, int]:
        """Return the sizes in bytes of the data files, by path in the table."""
        return {path: file.size for path, file in self._files.items()}

    def partitions(self) -> Iterable[Partition]:
        """Return the partition columns and partition values, as text, of each data
        file.
        """
        return [file.partition for file in self._files.values()]

    def history(self) -> List[Tuple[int, str, Optional[str]]]:
        """Return version, operation and user metadata of each commit, newest first."""
        found = [
            (version, str(info.get("operation", "")), info.get("userMetadata"))
            for version, info in enumerate(self._commits)
        ]
        return found[::-1]

    def holds(self, applications: FrozenSet[str]) -> bool:
        """Return whether the table certainly has all rows that were committed with
        these transaction identifiers.
        """
        return applications <= self._applications.keys() and not self._removed

    def _read(self, actions: List[Mapping[str, Any]]) -> None:
        commit: Mapping[str, Any] = {}
        for action in actions:
            for kind, content in action.items():
                if kind == "add":
                    self._files[unquote(content["path"])] = _AddedFile.parse(content)
                elif kind == "remove":
                    self._files.pop(unquote(content["path"]), None)
                    self._removed |= bool(content.get("dataChange", True))
                elif kind == "metaData":
                    self.metadata = content
                elif kind == "protocol":
                    self.protocol = content
                elif kind == "domainMetadata":
                    self.domains[content["domain"]] = content
                elif kind == "txn":
                    self._applications[content["appId"]] = int(content["version"])
                elif kind == "commitInfo":
                    commit = content
        self._commits.append(commit)
