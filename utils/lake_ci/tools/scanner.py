"""What a scanner is: one command that prints one JSON document, which may hold the very secrets it looks for.

So a scanner gets an environment without any, its output stays in memory, and only what was read whole and cleaned is
written under the report's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lake_ci.processes import Completed
from lake_ci.results import Outcome, write_whole
from lake_ci.tools.exceptions import Register
from lake_ci.tools.sarif import Weakness
from lake_ci.tools.tool import Tool, Workbench, crashed, stopped

# All that a scanner is told of its surroundings.
KEPT = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHONUNBUFFERED")
HOME = ".cache/scanners"
# A string in JSON, and whether it is a key, a value, or cut off.
STRING = re.compile(r'"(?:[^"\\]|\\.)*("\s*:|"|$)')


class Scanner(Tool):
    """A scanner of the repository.

    Attributes:
        report: the name of the report it leaves.
        finding_codes: the exit codes that mean "I found something"; any other but 0 is a crash.
    """

    report = ""
    finding_codes: Sequence[int] = (1,)

    def __init__(self, register: Register) -> None:
        self.register = register

    def command(self, bench: Workbench) -> list[str]:
        """The command line, run at the root of the repository."""
        raise NotImplementedError

    def text(self, done: Completed, bench: Workbench) -> str:
        """The JSON that the ended command left."""
        return done.stdout

    def clean(self, document: Any) -> Any:
        """The document as it may be kept: no code, no secret."""
        raise NotImplementedError

    def weaknesses(self, document: Any, bench: Workbench) -> Iterable[Weakness]:
        """What it found. Raises ValueError, KeyError or TypeError for a document of another shape."""
        raise NotImplementedError

    def looked_at(self, document: Any) -> str:
        """How much it looked at, `12 files`. Raises ValueError where that is nothing."""
        raise NotImplementedError

    def environment(self, bench: Workbench) -> dict[str, str]:
        """The command's whole environment."""
        return surroundings(bench)

    def run(self, bench: Workbench) -> Outcome:
        return self.outcome(bench.execute(self.command(bench), env=self.environment(bench)), bench)

    def outcome(self, done: Completed, bench: Workbench) -> Outcome:
        """What the ended command has to say; its report is written only where all of it could be read."""
        shown = replace(done, stdout=masked(done.stdout))
        cut = stopped(self.name, shown)
        if cut is not None:
            return cut
        if done.code not in (0, *self.finding_codes):
            return crashed(self.name, shown)
        try:
            document, _ = json.JSONDecoder().raw_decode(self.text(done, bench).lstrip())
            looked_at = self.looked_at(document)
            found = list(self.weaknesses(document, bench))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return crashed(self.name, shown, f"left what its reader does not know: {error}")
        if done.code != 0 and not found:
            return crashed(self.name, shown)
        write_whole(bench.reports / self.report, json.dumps(self.clean(document), indent=1) + "\n")
        return self.register.settle(self.name, found, looked_at)


def surroundings(bench: Workbench) -> dict[str, str]:
    """An environment without any variable that could hold a credential, and with a home of the suite's own."""
    home = bench.root / HOME
    home.mkdir(parents=True, exist_ok=True)
    return {name: value for name, value in bench.env.items() if KEPT.fullmatch(name)} | {"HOME": str(home)}


def masked(text: str) -> str:
    """What a scanner printed, with the values of JSON taken out: they may be the code that was scanned."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    return STRING.sub(lambda match: match[0] if match[1].endswith(":") else '"…"', text)
