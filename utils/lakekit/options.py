"""What the commands of the command line share: their settings as flags, and how a result is printed."""

from __future__ import annotations

import datetime
import functools
import json
from dataclasses import asdict
from typing import Any, Callable, Sequence

import click

from lakekit.engines import ENGINES
from lakekit.settings import SETTINGS, settings_here

Command = Callable[..., Any]


def uses(*names: str) -> Callable[[Command], Command]:
    """Give a command the flags of these settings and `--json`; it is called with `settings` and `as_json`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(**given: Any) -> Any:
            flags = {name: given.pop(name) for name in names}
            return command(settings=settings_here(flags), **given)

        decorated: Command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(called)
        for name in reversed(names):
            kind = click.Choice(ENGINES) if name == "engine" else None
            text = SETTINGS[name][0].upper() + SETTINGS[name][1:] + "."
            decorated = click.option(f"--{name}", type=kind, help=text)(decorated)
        return decorated

    return decorate


def print_json(result: Any, **more: Any) -> None:
    """A result dataclass as JSON."""
    click.echo(json.dumps({**asdict(result), **more}, default=plain, indent=2))


def plain(value: object) -> str:
    """A value as text: instants in ISO 8601 with Z, a missing value as nothing."""
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)


def table_of(header: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Text columns, each as wide as its widest cell; those in `right` end at the same place."""
    widths = [max(len(line[place]) for line in (header, *lines)) for place in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        placed = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths)))
        return "  ".join(placed).rstrip()

    return "\n".join(
        [row(header), "  ".join("-" * width for width in widths), *(row(line) for line in lines)]
    )
