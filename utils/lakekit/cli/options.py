"""Code that all commands share: flags for settings, `--version`, error output and exit
codes.
"""

from __future__ import annotations

import functools
import io
import os
import shlex
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import click

from lakekit.cli.settings import CHOICES, SETTINGS, settings_here
from lakekit.cli.tables_file import locate
from lakekit.cli.text import echo, visible
from lakekit.errors import (
    DamagedTableError,
    DeclarationError,
    LakekitError,
    MemoryLimitError,
    StorageError,
)
from lakekit.storage.versions import UnrestorableVersionError

Command = Callable[..., Any]


def uses(*names: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the flags of these settings, and `--json`, to a
    command.

    The command receives the values of these flags in its parameters `settings` and
    `as_json`.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(**given: Any) -> Any:
            flags = {name: given.pop(name) for name in names}
            settings = settings_here(flags)
            try:
                return command(settings=settings, **given)
            except DeclarationError as error:
                locate(error, settings.tables)
                raise
            except (DamagedTableError, UnrestorableVersionError) as error:
                error.next_step += repeated(flags)
                raise

        decorated: Command = click.option(
            "--json", "as_json", is_flag=True, help="Print JSON."
        )(called)
        for name in reversed(names):
            kind = click.Choice(CHOICES[name]) if name in CHOICES else None
            text = SETTINGS[name][0].upper() + SETTINGS[name][1:] + "."
            decorated = click.option(f"--{name}", type=kind, help=text)(decorated)
        return decorated

    return decorate


def repeated(flags: Mapping[str, Optional[str]]) -> str:
    """Return the flags among `--lake`, `--engine` and `--tables` that the user gave, as
    text to append to a suggested command.
    """
    shared = {name: flags.get(name) for name in ("lake", "engine", "tables")}
    return "".join(
        f" --{name} {shlex.quote(value)}" for name, value in shared.items() if value
    )


def version_option(program: str) -> Callable[[Command], Command]:
    """Return a decorator that adds `--version` to a command. The flag `--version`
    prints the name of the program and the version of the package.
    """

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if not wanted:
            return
        # If this import were at the top of the file, all other commands would take a
        # tenth longer to start.
        import importlib.metadata

        try:
            version = importlib.metadata.version("lakekit")
        except importlib.metadata.PackageNotFoundError:
            version = "0.0.0+unknown"
        click.echo(f"{program} {version}")
        context.exit()

    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Print the version.",
    )


def exit_code(
    command: click.Command,
    program: str,
    arguments: Optional[Sequence[str]] = None,
    interrupted: str = "",
) -> int:
    """Run a command line and return its exit code: 0 to 4, or 130 after Ctrl-C, as
    defined in `lakekit.errors`.

    Each error is printed with its next step. After Ctrl-C, the text in `interrupted` is
    printed, unless this text is empty.
    """
    # Without this setting, delta-rs 1.2 logs harmless warnings to stderr, and delta-rs
    # 1.6 logs conflicts, which lakekit reports itself.
    os.environ.setdefault("RUST_LOG", "off")
    try:
        result: Any = command.main(
            None if arguments is None else list(arguments),
            prog_name=program,
            standalone_mode=False,
        )
        return result if isinstance(result, int) else 0
    except LakekitError as error:
        return _print_error(error)
    except OSError as error:  # for example, no space for temporary files
        place = Path(error.filename or Path.cwd())
        return _print_error(StorageError(place, error.strerror or str(error)))
    except MemoryError:
        return _print_error(MemoryLimitError("Python cannot allocate more"))
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        echo(shown.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if interrupted:
            click.echo(interrupted, err=True)
        return 130


def _print_error(error: LakekitError) -> int:
    """Print an error and its next step. Return the exit code of the error."""
    echo(f"Error: {visible(str(error))}\nNext: {visible(error.next_step)}", err=True)
    return error.exit_code
