"""A Delta log in a folder, read as the protocol has it: one JSON file a commit.

Spark answers what a log says by a job, of seconds each time; its commits are a few
kilobytes that never change. Where they do not reach back to the first one, as after a
clean-up of the log, Spark is asked.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple
from urllib.parse import unquote

COMMIT = re.compile(r"(\d{20})\.json")
Partition = Mapping[str, Optional[str]]
MOST = 200
"""Commits that are read at most: after so many, Spark's checkpoints are quicker."""


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
        self._rows: Dict[str, Optional[int]] = {}
        self._sizes: Dict[str, int] = {}
        self._partitions: Dict[str, Partition] = {}
        self._commits: List[Mapping[str, Any]] = []
        self._applications: Dict[str, int] = {}
        self._removed = False

    def update(self) -> bool:
        """Read the commits that are new. False where the log cannot be read from its
        JSON files alone.
        """
        try:
            names = (COMMIT.fullmatch(file.name) for file in self._folder.iterdir())
            newest = max((int(name.group(1)) for name in names if name), default=-1)
            first = (self._folder / f"{0:020}.json").stat()
            identity = (first.st_ino, first.st_mtime_ns)
            if identity != self._first or newest < self.version:
                # Another table of the same name.
                self._forget()
                self._first = identity
            if newest >= MOST:
                return False
            for version in range(self.version + 1, newest + 1):
                text = (self._folder / f"{version:020}.json").read_text(
                    encoding="utf-8"
                )
                self._read([json.loads(line) for line in text.splitlines() if line])
                self.version = version
        except (OSError, ValueError, KeyError):
            self._forget()
            return False
        return bool(self.protocol) and bool(self.metadata)

    def rows(self) -> Optional[int]:
        """How many rows the table has; None where a writer did not say."""
        counts = list(self._rows.values())
        return None if None in counts else sum(count or 0 for count in counts)

    def sizes(self) -> Mapping[str, int]:
        """The data files, relative to the table, and their sizes in bytes."""
        return self._sizes

    def partitions(self) -> Iterable[Partition]:
        """Of each data file, the partition's columns and their values as text."""
        return self._partitions.values()

    def history(self) -> List[Tuple[int, str, Optional[str]]]:
        """Version, operation and user metadata of the commits, newest first."""
        found = [
            (version, str(info.get("operation", "")), info.get("userMetadata"))
            for version, info in enumerate(self._commits)
        ]
        return found[::-1]

    def holds(self, applications: FrozenSet[str]) -> bool:
        """Whether rows committed under these transaction identifiers are surely all
        there.
        """
        return applications <= self._applications.keys() and not self._removed

    def _read(self, actions: List[Mapping[str, Any]]) -> None:
        commit: Mapping[str, Any] = {}
        for action in actions:
            for kind, said in action.items():
                if kind == "add":
                    stats = json.loads(said.get("stats") or "{}")
                    self._rows[unquote(said["path"])] = stats.get("numRecords")
                    self._sizes[unquote(said["path"])] = int(said["size"])
                    self._partitions[unquote(said["path"])] = said["partitionValues"]
                elif kind == "remove":
                    self._rows.pop(unquote(said["path"]), None)
                    self._sizes.pop(unquote(said["path"]), None)
                    self._partitions.pop(unquote(said["path"]), None)
                    self._removed = self._removed or said.get("dataChange", True)
                elif kind == "metaData":
                    self.metadata = said
                elif kind == "protocol":
                    self.protocol = said
                elif kind == "domainMetadata":
                    self.domains[said["domain"]] = said
                elif kind == "txn":
                    self._applications[said["appId"]] = int(said["version"])
                elif kind == "commitInfo":
                    commit = said
        self._commits.append(commit)
