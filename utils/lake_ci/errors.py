"""Defines the errors of the suite; each has an exit code and may have a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class LakeCiError(Exception):
    """The base class of the suite's errors; `hint` states what the user can do.

    The exit code is 1; a subclass may set a different exit code.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(LakeCiError):
    """The command line is wrong, or a declaration in the noxfile is wrong."""

    exit_code = 2


class MachineError(LakeCiError):
    """This machine lacks a program or resource that the run needs."""

    exit_code = 3


class NoEnvironmentError(LakeCiError):
    """The locked packages of a job could not be installed."""


class BadResultError(LakeCiError):
    """A result.json is missing or truncated, or has an unexpected format."""


class Interrupted(KeyboardInterrupt):  # noqa: N818 - nox must end as on Ctrl-C
    """A signal ended the run; nox treats this exception as Ctrl-C."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


def nearest(word: str, known: Iterable[str] | Mapping[str, object]) -> str:
    """Return a hint for a wrong name: the nearest known name, or all known names."""
    names = list(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return (
        f"; did you mean {match[0]!r}?" if match else f"; there are: {', '.join(names)}"
    )
