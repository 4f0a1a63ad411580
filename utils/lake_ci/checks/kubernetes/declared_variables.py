"""Which environment variables the shipped programs read, as their code says.

The code is read, not imported: nothing it needs has to be installed.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

from lake_ci.errors import LakeCiError

LAKEKIT = "utils/lakekit"
LAKEKIT_SETTINGS = f"{LAKEKIT}/cli/settings.py"
API = "api/lakekit_api"
API_SETTINGS = f"{API}/settings.py"
HINT = "tell lake_ci/checks/kubernetes/declared_variables.py where it went"


class Programs:
    """Reads the code once, whoever asks first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, set[str]] | None = None

    def read(self, root: Path) -> dict[str, set[str]]:
        """What each program reads, as `known` has it."""
        with self._lock:
            if self._read is None:
                self._read = known(root)
            return self._read


def known(root: Path) -> dict[str, set[str]]:
    """What each program reads: by its settings, and by name anywhere in its code.
    Raises LakeCiError.
    """
    lake = {
        f"LAKEKIT_{name.upper()}" for name in _keys(root / LAKEKIT_SETTINGS, "SETTINGS")
    }
    api = {
        f"LAKEKIT_API_{name.upper()}"
        for name in _fields(root / API_SETTINGS, "Settings")
    }
    api |= {f"LAKEKIT_API_{name}" for name in _prefixed(root / API_SETTINGS)}
    read = set(_read(root / LAKEKIT))
    return {"lakekit": lake | read, "lakekit-api": api | read | set(_read(root / API))}


def _keys(path: Path, name: str) -> list[str]:
    """The keys of a dictionary of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
        ):
            if isinstance(node.value, ast.Dict):
                return [
                    str(key.value)
                    for key in node.value.keys
                    if isinstance(key, ast.Constant)
                ]
    raise LakeCiError(f"{path}: there is no dictionary {name}", hint=HINT)


def _fields(path: Path, name: str) -> list[str]:
    """The fields of a dataclass of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            rows = (
                each.target for each in node.body if isinstance(each, ast.AnnAssign)
            )
            return [row.id for row in rows if isinstance(row, ast.Name)]
    raise LakeCiError(f"{path}: there is no class {name}", hint=HINT)


def _prefixed(path: Path) -> Iterator[str]:
    """The constants of a module that are a prefix and a name: `f"{PREFIX}TOKENS"`."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr):
            yield from (
                str(part.value)
                for part in node.value.values
                if isinstance(part, ast.Constant)
            )


def _read(folder: Path) -> Iterator[str]:
    """The names that the code asks the environment for, written out."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            asked: ast.expr | None = None
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.args
            ):
                if node.func.attr == "getenv" or (
                    node.func.attr == "get" and _environ(node.func.value)
                ):
                    asked = node.args[0]
            elif isinstance(node, ast.Subscript) and _environ(node.value):
                asked = node.slice
            if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
                yield asked.value


def _environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"
