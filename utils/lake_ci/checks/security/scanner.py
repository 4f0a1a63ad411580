"""Base class of the security scanners: a command that prints one JSON document.

The document may contain the secrets that were found. So the output stays in memory, and
only a complete and cleaned document is written as the report. A scanner's environment
contains no credentials.
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

# The environment variables that a scanner may see.
ALLOWED_VARIABLES = re.compile(
    r"PATH|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHONUNBUFFERED"
)
HOME = ".cache/scanners"
# The exceptions that reading a document of another form raises.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
# A string in JSON, and whether it is a key, a value, or cut off.
STRING = re.compile(r'"(?:[^"\\]|\\.)*("\s*:|"|$)')


class Scanner(Check):
    """Base class of the scanners of the repository.

    Attributes:
        report: the file name of its report.
        finding_codes: the exit codes that mean findings; any other code except 0 is a
            crash.
    """

    report = ""
    finding_codes: Sequence[int] = (1,)

    def __init__(self, register: Register) -> None:
        self.register = register

    def text(self, done: Completed, ctx: CheckContext) -> str:
        """Return the JSON that the command printed or wrote."""
        return done.stdout

    def clean(self, document: Any) -> Any:
        """Return the document without code and secrets, for the report."""
        raise NotImplementedError

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterable[SecurityFinding]:
        """Return the findings of a document.

        Raises:
            ValueError, KeyError, TypeError: the document has another form.
        """
        raise NotImplementedError

    def looked_at(self, document: Any) -> str:
        """Return what was scanned, such as `12 files`.

        Raises ValueError if nothing was scanned.
        """
        raise NotImplementedError

    def environment(self, ctx: CheckContext) -> dict[str, str]:
        """Return the whole environment of the command."""
        return minimal_env(ctx)

    def outcome(self, done: Completed, ctx: CheckContext) -> Outcome:
        """Return the outcome of the command.

        Write the report if the document is readable.
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
        return self.register.settle(self.name, found, looked_at)

    def ended_badly(self, done: Completed) -> Outcome | None:
        """Return the outcome of a stopped or crashed command, else None."""
        cut = stopped(self.name, shown(done))
        if cut is None and done.code not in (0, *self.finding_codes):
            return crashed(self.name, shown(done))
        return cut

    def document(self, done: Completed, ctx: CheckContext) -> Any:
        """Return the document of the command. Raises ValueError."""
        return json.JSONDecoder().raw_decode(self.text(done, ctx).lstrip())[0]

    def unreadable(self, done: Completed, error: Exception) -> Outcome:
        """Return the outcome of a command with an incomplete or unknown document."""
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
    """Return the output of a scanner without the values of JSON.

    The values may be scanned code.
    """
    if not text.lstrip().startswith(("{", "[")):
        return text
    return STRING.sub(lambda match: match[0] if match[1].endswith(":") else '"…"', text)


def shown(done: Completed) -> Completed:
    """Return an ended command with masked output, for messages."""
    return replace(done, stdout=masked(done.stdout))
