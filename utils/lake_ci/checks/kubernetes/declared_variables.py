"""Parses a program's code to find the environment variables that the program reads.

The code is parsed but not imported, so the code's dependencies need not be installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lake_ci.errors import UsageError


def variables(
    root: Path, code: Sequence[str], settings: Mapping[str, str]
) -> frozenset[str]:
    """Return the environment variables that a program reads by name or as settings.

    Settings are the keys of a dictionary, or the fields of a class, in the program's
    code. The name of a setting's variable is a prefix followed by the setting's name.

    Args:
        code: the folders of the program's code, relative to the repository.
        settings: for each prefix of variable names, the dictionary or class that
            contains the settings, as `FILE:NAME`.

    Raises:
        UsageError: a folder or a declaration does not exist.
    """
    found = {name for folder in code for name in _read(root, folder)}
    for prefix, place in settings.items():
        found |= {f"{prefix}{name}" for name in _declared(root, place)}
    return frozenset(found)


def _declared(root: Path, place: str) -> list[str]:
    """Return the settings' names: the names of the variables without the prefix."""
    file, _, name = place.rpartition(":")
    path = root / file
    if not path.is_file():
        raise UsageError(f"no file {file!r}")
    body = _parsed(path).body
    names = _keys(body, name) or _fields(body, name)
    if not names:
        raise UsageError(f"{file} has no dictionary or class {name} with settings")
    return [*(each.upper() for each in names), *_prefixed(body)]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as Python: {error}") from None


def _keys(body: Sequence[ast.stmt], name: str) -> list[str]:
    """Return the keys of the dictionary that has this name in a module."""
    for node in body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
            and isinstance(node.value, ast.Dict)
        ):
            keys = node.value.keys
            return [str(each.value) for each in keys if isinstance(each, ast.Constant)]
    return []


def _fields(body: Sequence[ast.stmt], name: str) -> list[str]:
    """Return the fields of the dataclass that has this name in a module."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            rows = (
                each.target for each in node.body if isinstance(each, ast.AnnAssign)
            )
            return [row.id for row in rows if isinstance(row, ast.Name)]
    return []


def _prefixed(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the constants in assigned f-strings: `TOKENS` in `f"{PREFIX}TOKENS"`."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr):
            yield from (
                str(part.value)
                for part in node.value.values
                if isinstance(part, ast.Constant)
            )


def _read(root: Path, folder: str) -> Iterator[str]:
    """Yield the variables whose names the code in a folder contains as literals."""
    files = sorted((root / folder).rglob("*.py"))
    if not files:
        raise UsageError(f"no folder {folder!r} with Python code")
    for path in files:
        for node in ast.walk(_parsed(path)):
            name = _variable_name(node)
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _variable_name(node: ast.AST) -> ast.expr | None:
    """Return the name that a call passes to `os.environ` or `os.getenv`, or None."""
    if isinstance(node, ast.Subscript) and _environ(node.value):
        return node.slice
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.args
        and (
            node.func.attr == "getenv"
            or (node.func.attr == "get" and _environ(node.func.value))
        )
    ):
        return node.args[0]
    return None


def _environ(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"
