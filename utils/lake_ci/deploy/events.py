"""Prints the events of a running deploy, and redacts secrets in the events.

Each event is one line of JSON. A step has two events: its start and its end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lake_ci.errors import LakeCiError
from lake_ci.system.redaction import Redactor


@dataclass
class Step:
    """A running step, and the status and the detail to print when the step ends.

    Attributes:
        status: `success`, `skipped`, `warning` or `failure`. An exception sets
            `failure`.
        findings: the messages of the problems.
        data: measurements, as JSON.
    """

    name: str
    status: str = "success"
    detail: str = ""
    findings: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


class Events:
    """Redacts secrets in events, and writes the events through `out`.

    Attributes:
        redact: the function that redacts everything that the deploy prints or stores.
    """

    def __init__(
        self,
        out: Callable[[str], None],
        redact: Redactor | None = None,
    ) -> None:
        self._out = out
        self.redact = redact or Redactor()

    def hide(self, *secrets: str) -> None:
        """Redact these secrets, too, in all later events."""
        self.redact = self.redact.including(*secrets)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Print an event when a step begins, and when it ends or fails."""
        step = Step(name)
        start = time.monotonic()
        self._say({"event": "begin", "step": name})
        try:
            yield step
        except LakeCiError as error:
            step.status, step.detail = "failure", str(error).splitlines()[0]
            step.findings.append(str(error))
            raise
        except BaseException as error:
            step.status, step.detail = (
                "failure",
                f"{type(error).__name__}: {error}".strip(": "),
            )
            step.findings.append(step.detail)
            raise
        finally:
            outcome = {
                "status": step.status,
                "detail": step.detail,
                "findings": step.findings,
                "data": step.data,
            }
            self._say(
                {
                    "event": "end",
                    "step": name,
                    "seconds": round(time.monotonic() - start, 3),
                    **outcome,
                }
            )

    def row(
        self, name: str, status: str, detail: str, seconds: float = 0.0, **data: Any
    ) -> None:
        """Print both events of a finished step, such as a task of the job."""
        findings = [detail] if status == "failure" else []
        self._say({"event": "begin", "step": name})
        outcome = {
            "status": status,
            "detail": detail.splitlines()[0],
            "findings": findings,
            "data": data,
        }
        self._say(
            {"event": "end", "step": name, "seconds": round(seconds, 3), **outcome}
        )

    def text(self, text: str) -> None:
        """Print a text for the user."""
        self._say({"event": "text", "text": text})

    def result(self, outcome: str, code: int, **data: Any) -> None:
        """Print the last event: the outcome and the exit code."""
        self._say({"event": "result", "outcome": outcome, "code": code, "data": data})

    def _say(self, event: dict[str, Any]) -> None:
        self._out(json.dumps(self.redact.tree(event), ensure_ascii=False))
