"""Loads the declared tables of a project from a Python file or module."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import re
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple

from lakekit import declarations
from lakekit.declarations.fields import label
from lakekit.declarations.tables import TableSet
from lakekit.errors import DeclarationError, LakekitError, SettingsError

WANTED = "which must define TABLES = TableSet(...)"
UNKNOWN_NAMES = (
    re.compile(r"name '(\w+)' is not defined"),
    re.compile(r"unexpected keyword argument '(\w+)'"),
    re.compile(r"cannot import name '(\w+)'"),
    re.compile(r"has no attribute '(\w+)'"),
)
"""Patterns of Python's messages about an unknown name in a declaration."""


def load_tables(name: str) -> TableSet:
    """Return the tables that a Python file, or a module on the Python path, defines.

    Raises SettingsError, which names the file and the line, if the code fails or
    defines no TABLES; DeclarationError for an invalid declaration.
    """
    import runpy  # a slow import that `lakekit --help` does not need

    try:
        # The file is run instead of imported, because an import would use old cached
        # byte code if the file was edited twice within a second.
        found = (
            runpy.run_path(str(Path(name).absolute()))
            if name.endswith(".py")
            else vars(importlib.import_module(name))
        )
    except LakekitError:
        raise
    # The file is the user's program: it may raise any exception, or exit.
    except (Exception, SystemExit) as error:
        raise SettingsError(*_reason(name, error)) from error
    return _tables(name, found)


def locate(error: DeclarationError, name: Optional[str]) -> None:
    """Prefix the text of an error with the declaration's file and line, or with the
    declaration's module.
    """
    if name is not None:
        at = name + (_line(Path(name), error.table) if name.endswith(".py") else "")
        error.args = (f"{at}: {error}", *error.args[1:])


def _tables(name: str, module: Mapping[str, Any]) -> TableSet:
    """Return TABLES. Raises SettingsError if the module does not define tables."""
    found = module.get("TABLES")
    if isinstance(found, TableSet):
        if not len(found):
            raise SettingsError(f"{name}: TABLES has no tables", "Declare one there.")
        return found
    if found is not None:
        kind = label(found) if dataclasses.is_dataclass(found) else repr(found)[:60]
        raise SettingsError(
            f"{name}: TABLES is {kind}, not a TableSet", f"Correct {name}, {WANTED}."
        )
    sets = [key for key, value in module.items() if isinstance(value, TableSet)]
    next_step = f"Rename {sets[0]} there to TABLES." if sets else ""
    raise SettingsError(
        f"{name} defines no TABLES", next_step or f"Correct {name}, {WANTED}."
    )


def _reason(name: str, error: BaseException) -> Tuple[str, str]:
    """Return why the tables cannot be loaded, and the next step."""
    if isinstance(error, OSError) and error.filename == str(Path(name).absolute()):
        return (
            f"The tables of {name} cannot be read: {error.strerror}",
            f"Use --tables with a Python file or a module, {WANTED}.",
        )
    at, line = name, _line_of(name, error)
    if line is not None:
        at += f":{line}"
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    similar = _similar(str(error))
    next_step = f"Did you mean {similar}? " if similar else ""
    what = f"{at} cannot be read: {type(error).__name__}: {text or 'no message'}"
    return what, f"{next_step}Correct {at}, {WANTED}."


def _line_of(name: str, error: BaseException) -> Optional[int]:
    """Return the number of the line in the file `name` that caused the error; None if
    no line of the file did.
    """
    import traceback  # a slow import

    path = str(Path(name).absolute())
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    return lines[-1] if lines else None


def _similar(text: str) -> str:
    """Return the valid name that is most similar to an unknown name; empty if no name
    is similar.
    """
    for pattern in UNKNOWN_NAMES:
        found = pattern.search(text)
        if found:
            matches = difflib.get_close_matches(found.group(1), _declaration_names(), 1)
            return next(iter(matches), "")
    return ""


def _declaration_names() -> List[str]:
    """Return the names of all classes for declarations and of all their fields."""
    names = list(declarations.__all__)
    for name in declarations.__all__:
        value = getattr(declarations, name)
        if isinstance(value, type) and dataclasses.is_dataclass(value):
            names += [field.name for field in dataclasses.fields(value)]
    return names


def _line(path: Path, table: str) -> str:
    """Return `:LINE` for the first line of the file that mentions a table. The result
    is empty if no line contains the table's name, for example because code computes the
    name.
    """
    names = [table, table.partition(".")[2]]
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for name in filter(None, names):
        for number, line in enumerate(lines, 1):
            if f'"{name}"' in line or f"'{name}'" in line:
                return f":{number}"
    return ""
