"""Checks that the values in a declaration have the types that its class defines.

Python does not check these types. Without these checks, a severity written as `Drop`
instead of `drop` would be ignored. A key `("id")`, which lacks a comma, would be read
as the two columns `i` and `d`.
"""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from typing import Any, Dict, Iterator, List, Literal, Tuple, Union

from lakekit.errors import nearest

NAMES = {
    str: "a text",
    bool: "True or False",
    float: "a number",
    type(None): "None",
}
Fault = Tuple[str, str]
"""The text of a fault in a declaration, and the next step for the user."""
_SEEN: Dict[Any, List[Tuple[str, Any]]] = {}


def faults(declaration: Any) -> Iterator[Fault]:
    """Yield a fault for each field whose value does not have the declared type. Nested
    dataclasses are checked, too.
    """
    for name, hint in _hints(type(declaration)):
        value = getattr(declaration, name)
        if type(value) is not hint:
            yield from _faults(declaration, name, value, hint)


def _hints(kind: Any) -> List[Tuple[str, Any]]:
    """Return the name and the type of each field of a dataclass."""
    if kind not in _SEEN:
        hints = typing.get_type_hints(kind)
        _SEEN[kind] = [(each.name, hints[each.name]) for each in fields(kind)]
    return _SEEN[kind]


def _faults(declaration: Any, name: str, value: object, hint: Any) -> Iterator[Fault]:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:
        kinds = [each for each in choices if each is not type(None)]
        if value is not None:
            yield from _faults(declaration, name, value, kinds[0])
    elif origin is Literal:
        if value not in choices:
            yield _no_choice(declaration, name, value, choices)
    elif origin is tuple:
        yield from _tuple_faults(declaration, name, value, choices)
    elif hint is float and type(value) is int:
        return
    elif not isinstance(value, hint) or (hint is float and isinstance(value, bool)):
        yield _wrong_type(declaration, name, value, hint)
    elif is_dataclass(value):
        yield from faults(value)


def _tuple_faults(
    declaration: Any, name: str, value: object, kinds: Tuple[Any, ...]
) -> Iterator[Fault]:
    if not isinstance(value, tuple):
        yield no_tuple(declaration, name, value, kinds)
        return
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        what = f"{label(declaration)}: {name} has {value!r}, not {len(kinds)} texts"
        yield what, f"Write ({', '.join(['TEXT'] * len(kinds))})."
        return
    for index, each in enumerate(value):
        kind = kinds[0] if kinds[-1] is Ellipsis else kinds[index]
        yield from _faults(declaration, name, each, kind)


def _no_choice(
    declaration: Any, name: str, value: object, choices: Tuple[str, ...]
) -> Fault:
    what = f"{label(declaration)}: there is no {name} {value!r}"
    every = ", ".join(choices)
    return what, f"Did you mean {nearest(str(value), choices)}? There are {every}."


def _wrong_type(declaration: Any, name: str, value: object, hint: Any) -> Fault:
    wanted = NAMES.get(hint, f"a {getattr(hint, '__name__', hint)}")
    return (
        f"{label(declaration)}: {name} is {_shown(value)}, not {wanted}",
        f"Correct {name} there.",
    )


def no_tuple(
    declaration: Any, name: str, value: object, kinds: Tuple[Any, ...]
) -> Fault:
    """Return the fault of a field whose value should be a tuple of values of these
    kinds.
    """
    of = getattr(kinds[0], "__name__", "") if is_dataclass(kinds[0]) else "texts"
    next_step = (
        f"Write {name}=(..., ...) with round brackets."
        if isinstance(value, (list, set))
        else f"Write a comma after a single element: {name}=({_shown(value)},)."
    )
    what = f"{label(declaration)}: {name} is {_shown(value)}, not a tuple of {of}"
    return what, next_step


def label(declaration: Any) -> str:
    """Return the class and the name of a declaration, for a message."""
    name = getattr(declaration, "name", getattr(declaration, "read", ""))
    kind = type(declaration).__name__
    return f"{kind} {name}" if isinstance(name, str) and name else kind


def _shown(value: object) -> str:
    """Return a value as text for a message. For a dataclass, the text is its class and
    name.
    """
    return label(value) if is_dataclass(value) else repr(value)[:80]
