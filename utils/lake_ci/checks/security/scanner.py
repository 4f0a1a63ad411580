"""What a scanner is: one command that prints one JSON document, which may hold the very
secrets it looks for.

So a scanner gets an environment without any, its output stays in memory, and only what
was read whole and cleaned is written under the report's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.sarif import Weakness
from lake_ci.model.results import Outcome
from lake_ci.runner.check import Tool, Workbench, crashed, stopped
from lake_ci.system.atomic_write import write_whole
from lake_ci.system.processes import Completed

# All that a scanner is told of its surroundings.
KEPT = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHONUNBUFFERED")
HOME = ".cache/scanners"
# What reading a document of another shape raises.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
# A string in JSON, and whether it is a key, a value, or cut off.
STRING = re.compile(r'"(?:[^"\\]|\\.)*("\s*:|"|$)')


class Scanner(Tool):
    """A scanner of the repository.

    Attributes:
        report: the name of the report it leaves.
        finding_codes: the exit codes that mean "I found something"; any other but 0 is
            a crash.
    """

    report = ""
    finding_codes: Sequence[int] = (1,)

    def __init__(self, register: Register) -> None:
        self.register = register

    def text(self, done: Completed, bench: Workbench) -> str:
        """The JSON that the ended command left."""
        return done.stdout

    def clean(self, document: Any) -> Any:
        """The document as it may be kept: no code, no secret."""
        raise NotImplementedError

    def weaknesses(self, document: Any, bench: Workbench) -> Iterable[Weakness]:
        """What it found. Raises ValueError, KeyError or TypeError for a document of
        another shape.
        """
        raise NotImplementedError

    def looked_at(self, document: Any) -> str:
        """How much it looked at, `12 files`. Raises ValueError if that is nothing."""
        raise NotImplementedError

    def environment(self, bench: Workbench) -> dict[str, str]:
        """The command's whole environment."""
        return surroundings(bench)

    def outcome(self, done: Completed, bench: Workbench) -> Outcome:
        """What the ended command has to say; its report is written only where all of it
        could be read.
        """
        ended = self.ended_badly(done)
        if ended is not None:
            return ended
        try:
            document = self.document(done, bench)
            looked_at = self.looked_at(document)
            found = list(self.weaknesses(document, bench))
        except UNREADABLE as error:
            return self.unreadable(done, error)
        if done.code != 0 and not found:
            return crashed(self.name, shown(done))
        self.write(self.clean(document), bench)
        return self.register.settle(self.name, found, looked_at)

    def ended_badly(self, done: Completed) -> Outcome | None:
        """The outcome of a command that was cut short, or ended with a code that means
        something else.
        """
        cut = stopped(self.name, shown(done))
        if cut is None and done.code not in (0, *self.finding_codes):
            return crashed(self.name, shown(done))
        return cut

    def document(self, done: Completed, bench: Workbench) -> Any:
        """What the ended command left. Raises ValueError."""
        return json.JSONDecoder().raw_decode(self.text(done, bench).lstrip())[0]

    def unreadable(self, done: Completed, error: Exception) -> Outcome:
        """The outcome of a command that left half a document, or another shape."""
        return crashed(
            self.name, shown(done), f"left what its reader does not know: {error}"
        )

    def write(self, document: Any, bench: Workbench) -> None:
        """Write the report."""
        write_whole(bench.reports / self.report, json.dumps(document, indent=1) + "\n")


def surroundings(bench: Workbench) -> dict[str, str]:
    """An environment without any variable that could hold a credential, and with a home
    of the suite's own.
    """
    home = bench.root / HOME
    home.mkdir(parents=True, exist_ok=True)
    return {
        name: value for name, value in bench.env.items() if KEPT.fullmatch(name)
    } | {"HOME": str(home)}


def masked(text: str) -> str:
    """What a scanner printed, with the values of JSON taken out: they may be the code
    that was scanned.
    """
    if not text.lstrip().startswith(("{", "[")):
        return text
    return STRING.sub(lambda match: match[0] if match[1].endswith(":") else '"…"', text)


def shown(done: Completed) -> Completed:
    """An ended command as a message may show it."""
    return replace(done, stdout=masked(done.stdout))
