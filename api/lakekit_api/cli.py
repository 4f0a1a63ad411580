"""The command `lakekit-api`, which serves a lake and creates tokens."""

from __future__ import annotations

import datetime
import os
import sys
from typing import Any, Callable, List, Optional

import click

from lakekit.cli.options import exit_code, version_option
from lakekit_api import settings, tokens
from lakekit_api.app import served
from lakekit_api.keyring import Keyring, TokenFile
from lakekit_api.serve import serve as run_server
from lakekit_api.settings import Settings

ALIASES = {"tokens_file": ["--tokens"]}
Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@version_option("lakekit-api")
def cli() -> None:
    """Serve the gold tables of a lake over HTTP.

    \b
    Example:
      lakekit-api token --name me --tables gold.busiest_hours
      lakekit-api serve --lake lake --tokens tokens.txt
    """


def _options(command: Command) -> Command:
    """Add a flag and an environment variable for every setting."""
    for field in reversed(settings.fields()):
        flag, kind, least = (
            field.name.replace("_", "-"),
            type(field.default),
            field.metadata["min"],
        )
        more: dict[str, Any] = {"type": kind}
        if kind is bool:
            more = {"is_flag": True}
        elif kind is int:
            more = {"type": click.IntRange(min=int(least), max=field.metadata["max"])}
        elif kind is float:
            more = {"type": click.FloatRange(min=least)}
        command = click.option(
            f"--{flag}",
            *ALIASES.get(field.name, ()),
            field.name,
            default=field.default,
            envvar=f"{settings.PREFIX}{field.name.upper()}",
            show_envvar=True,
            show_default=field.default not in ("", False),
            help=str(field.metadata["help"]),
            **more,
        )(command)
    return command


@cli.command()
@_options
def serve(**given: Any) -> None:
    """Serve the gold tables of a lake until SIGTERM or Ctrl-C.

    Tokens come from the file --tokens FILE, or from the variable LAKEKIT_API_TOKENS,
    which contains the lines of such a file. The file is read again when it changes.

    \b
    Example:
      lakekit-api serve --lake lake --tokens tokens.txt
      lakekit-api serve --lake lake --no-auth
    """
    chosen = Settings(**given)
    run_server(chosen, _tokens(chosen), os.environ)


def _tokens(chosen: Settings) -> Keyring:
    names = [table.name for table in served(chosen.declarations)]
    fixed = tokens.read(os.environ.get(settings.TOKENS, ""), settings.TOKENS, names)
    file = TokenFile(chosen.tokens_file, names) if chosen.tokens_file else None
    return Keyring(fixed, file)


@cli.command()
@click.option(
    "--name",
    default="token",
    show_default=True,
    help="Name of the token's holder, shown in the logs.",
)
@click.option(
    "--tables",
    required=True,
    help="Tables that the token allows, separated by commas; * for all.",
)
@click.option(
    "--declarations",
    default=Settings.declarations,
    envvar=f"{settings.PREFIX}DECLARATIONS",
    show_default=True,
    help="The tables' declarations, MODULE:NAME.",
)
@click.option(
    "--expires",
    default="",
    help=(
        "Expiry: a date (the token expires at its end, in UTC), an instant, or a time"
        " from now, such as 90d, 12h, 30m. By default the token never expires."
    ),
)
def token(name: str, tables: str, declarations: str, expires: str) -> None:
    """Create a token. Prints the token, and the line to add to the tokens file.

    The line contains only a hash of the token, so the token cannot be shown again. The
    line is printed on standard output, and the token on standard error.

    \b
    Example:
      lakekit-api token --name dashboard --tables gold.busiest_hours >> tokens.txt
      lakekit-api token --tables gold.busiest_hours --expires 90d >> tokens.txt
    """
    names = [table.name for table in served(declarations)]
    wanted = [each.strip() for each in tables.split(",")]
    tokens.check(frozenset(wanted), names, "--tables")
    end = tokens.expiry(expires, datetime.datetime.now(tokens.UTC)) if expires else None
    secret, made = tokens.make(name, wanted, end)
    click.echo(
        f"Token (shown only once): {secret}\nLine for the tokens file:", err=True
    )
    click.echo(made.line())


def main(arguments: Optional[List[str]] = None) -> None:
    """Run the command and exit with its code. `lakekit.errors` defines the codes 0 to
    3; after Ctrl-C the code is 130.
    """
    sys.exit(exit_code(cli, "lakekit-api", arguments))
