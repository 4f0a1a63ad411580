"""Shows, prunes or clears the result cache."""

from __future__ import annotations

import nox

from lake_ci.cache import lookup
from lake_ci.cache.store import Store
from lake_ci.errors import LakeCiError
from lake_ci.model.results import count
from lake_ci.runner.options import Parser
from lake_ci.runner.suite import Suite, exit_on_error


def manage(suite: Suite, session: nox.Session) -> None:
    """Do what the option of `nox -s cache` selects; by default, print the status."""
    with exit_on_error(suite.redact):
        parser = Parser("nox -s cache --", __doc__)
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument(
            "--status",
            action="store_true",
            help="print the size and folder of the cache (default)",
        )
        chosen.add_argument(
            "--prune",
            action="store_true",
            help="evict the least recently used results above the limit",
        )
        chosen.add_argument("--clear", action="store_true", help="remove all results")
        options = parser.parse_args(session.posargs)
        folder = lookup.store_folder(suite.root, suite.env)
        # No entry is read, so the store needs no signing key.
        print(
            tell(
                Store(folder, lookup.limit(suite.root), b""),
                prune=options.prune,
                clear=options.clear,
            )
        )


def tell(store: Store, *, prune: bool, clear: bool) -> str:
    """Prune or clear a store, if requested; return what was done, and the status.

    Raises:
        LakeCiError: the store cannot be written to.
    """
    try:
        if clear:
            return f"removed {_amount(*store.clear())} from {store.folder}"
        words = f"removed {_amount(*store.prune())}; " if prune else ""
        return (
            f"{words}{_amount(*store.status())} of at most"
            f" {_megabytes(store.limit)} in {store.folder}"
        )
    except OSError as error:
        raise LakeCiError(
            f"{store.folder}: {error.strerror}",
            hint=f"set {lookup.FOLDER_VARIABLE} to another folder",
        ) from None


def _amount(entries: int, size: int) -> str:
    number = f"{count(entries, 'result')}" if entries != 0 else "no results"
    return f"{number}, {_megabytes(size)}" if entries else number


def _megabytes(size: int) -> str:
    return f"{size / 10**6:,.1f} MB"
