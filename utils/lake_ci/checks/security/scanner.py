"""Defines the base class of the security scanners, which run commands that print JSON.

The JSON document that a scanner prints may contain the secrets that the scanner found.
So the scanner's output stays in memory. The report is written only if the document is
complete, and only after the document's secrets have been removed. A scanner gets no
credentials in its environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.model.results import Outcome
from lake_ci.runner.check import Check, CheckContext, crashed, stopped
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

# The environment variables that are passed on to a scanner.
ALLOWED_VARIABLES = re.compile(
    r"PATH|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHONUNBUFFERED"
)
HOME = ".cache/scanners"
# The Python exceptions that occur when a document has an unexpected format.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
# Matches a string in JSON. The pattern's group shows whether the string is a key, a
# value, or incomplete.
STRING = re.compile(r'"(?:[^"\\]|\\.)*("\s*:|"|$)')


class Scanner(Check):
    """The base class of the security scanners.

    Attributes:
        report: the file name of the report.
        finding_codes: the exit codes with which the command reports findings; any other
            code except 0 means that the command crashed.
    """

    report = ""
    finding_codes: Sequence[int] = (1,)

    def __init__(self, register: Register) -> None:
        self.register = register

    def text(self, done: Completed, ctx: CheckContext) -> str:
        """Return the JSON text that the command printed or wrote to a file."""
        return done.stdout

    def clean(self, document: Any) -> Any:
        """Return the document for the report; scanned code and secrets are removed."""
        raise NotImplementedError

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterable[SecurityFinding]:
        """Return the findings in a document.

        Raises:
            ValueError, KeyError, TypeError: the document does not have the scanner's
                format.
        """
        raise NotImplementedError

    def looked_at(self, document: Any) -> str:
        """Return a text about what was scanned, such as `12 files`.

        Raises ValueError if nothing was scanned.
        """
        raise NotImplementedError

    def environment(self, ctx: CheckContext) -> dict[str, str]:
        """Return the environment variables of the command."""
        return minimal_env(ctx)

    def outcome(self, done: Completed, ctx: CheckContext) -> Outcome:
        """Return the outcome of the command, and write the report.

        If the document is unreadable, no report is written, and the outcome is a crash.
        """
        ended = self.ended_badly(done)
        if ended is not None:
            return ended
        try:
            document = self.document(done, ctx)
            looked_at = self.looked_at(document)
            found = list(self.security_findings(document, ctx))
        except UNREADABLE as error:
            return self.unreadable(done, error)
        if done.code != 0 and not found:
            return crashed(self.name, shown(done))
        self.write(self.clean(document), ctx)
        return self.register.record(self.name, found, looked_at)

    def ended_badly(self, done: Completed) -> Outcome | None:
        """Return the outcome if the command was stopped or crashed, or else None."""
        cut = stopped(self.name, shown(done))
        if cut is None and done.code not in (0, *self.finding_codes):
            return crashed(self.name, shown(done))
        return cut

    def document(self, done: Completed, ctx: CheckContext) -> Any:
        """Return the document that the command printed. Raises ValueError."""
        return json.JSONDecoder().raw_decode(self.text(done, ctx).lstrip())[0]

    def unreadable(self, done: Completed, error: Exception) -> Outcome:
        """Return the failure if a document is incomplete or has an unknown format."""
        return crashed(self.name, shown(done), f"wrote an unexpected report: {error}")

    def write(self, document: Any, ctx: CheckContext) -> None:
        """Write the cleaned document as the report."""
        write_whole(ctx.reports / self.report, json.dumps(document, indent=1) + "\n")


def minimal_env(ctx: CheckContext) -> dict[str, str]:
    """Return an environment without credentials, and with an empty home folder."""
    home = ctx.root / HOME
    home.mkdir(parents=True, exist_ok=True)
    return {
        name: value
        for name, value in ctx.env.items()
        if ALLOWED_VARIABLES.fullmatch(name)
    } | {"HOME": str(home)}


def masked(text: str) -> str:
    """Return a scanner's output; if the output is JSON, all text values are masked.

    A text value may contain scanned code.
    """
    if not text.lstrip().startswith(("{", "[")):
        return text
    return STRING.sub(lambda match: match[0] if match[1].endswith(":") else '"…"', text)


def shown(done: Completed) -> Completed:
    """Return the completed command for messages; the command's output is masked."""
    return replace(done, stdout=masked(done.stdout))
