"""Parses a session's arguments, which follow `--` on the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn, Protocol

from lake_ci.errors import UsageError, nearest

HELP = frozenset({"-h", "--help"})


class Options(Protocol):
    """The interface of the classes that store a session's parsed arguments."""

    @property
    def partial(self) -> bool:
        """Whether the session does only a part of its job's work.

        The result of a partial run is never reused.
        """


class Parser(argparse.ArgumentParser):
    """A parser that prints errors as one line, and suggests the nearest option.

    Args:
        command: the command line before the options, such as `nox -s docker --`.
        description: what the session does, for `--help`.
    """

    def __init__(self, command: str, description: str | None = None) -> None:
        super().__init__(command, description=description, allow_abbrev=False)

    def add_part(self, option: str, parts: Sequence[str], what: str = "") -> None:
        """Add a repeatable option that selects a part of the job's work.

        The value of the option is the list of the selected parts, without duplicates,
        in the order of `parts`. If the option is not used, the list is empty.

        Args:
            what: the word that `--help` uses for a part; by default, the option's name
                without dashes.
        """
        self.add_argument(
            option,
            choices=parts,
            action=_SelectParts,
            default=[],
            help=f"only this {what or option.strip('-')}; may be repeated",
        )

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if unknown:
            kind = "option" if unknown[1].startswith("-") else "argument"
            message = f"no {kind} {unknown[1]!r}{nearest(unknown[1], self._known())}"
        raise UsageError(f"{self.prog} ...: {message}", f"see `{self.prog} --help`")

    def _known(self) -> list[str]:
        options = (option for each in self._actions for option in each.option_strings)
        return [option for option in options if option.startswith("--")]


class _SelectParts(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        selected = {*getattr(namespace, self.dest), values}
        parts = [part for part in self.choices or () if part in selected]
        setattr(namespace, self.dest, parts)
