"""A fake Delta log in memory, and functions that return actions for the log."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

Files = Dict[str, bytes]
FORMAT = {"provider": "parquet", "options": {}}


def log_of(commits: List[List[Any]], data: Optional[Files] = None) -> "FakeFiles":
    """Return a table in memory. `commits` contains the actions of each version, and
    `data` contains the data files.
    """
    log = {
        f"{n:020}.json": "\n".join(map(json.dumps, c or [{"commitInfo": {}}])).encode()
        for n, c in enumerate(commits)
    }
    return FakeFiles(log, data or {})


class FakeFiles:
    """The log and the data files of a table in memory."""

    location = "/lake/gold/t"

    def __init__(self, log: Files, data: Files) -> None:
        self.log, self.data = log, data

    def names(self) -> List[str]:
        return list(self.log)

    def read(self, name: str) -> bytes:
        return self.log[name]

    def create(self, name: str, content: bytes) -> None:
        if name in self.log:
            raise FileExistsError(name)
        self.log[name] = content

    def data_files(self) -> Dict[str, int]:
        return {name: len(content) for name, content in self.data.items()}


def metadata(
    kind: str = "date", nullable: bool = False, name: str = "p"
) -> Dict[str, Any]:
    column = {"name": name, "type": kind, "nullable": nullable, "metadata": {}}
    schema = json.dumps({"type": "struct", "fields": [column]})
    content = {"id": "1", "schemaString": schema, "partitionColumns": [name]}
    return {"metaData": {**content, "format": FORMAT, "configuration": {}}}


def add(
    path: str, value: Optional[str] = "2024-01-01", size: int = 1
) -> Dict[str, Any]:
    content = {"path": path, "partitionValues": {"p": value}, "size": size}
    return {"add": {**content, "modificationTime": 0, "dataChange": True}}


def remove(path: str) -> Dict[str, Any]:
    return {"remove": {"path": path, "dataChange": True}}
