"""Versions of a table, and which of them can be restored."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Optional, Tuple

from lakekit.errors import LakekitError


@dataclass(frozen=True)
class Version:
    """A version of a table and whether it can be restored.

    Attributes:
        timestamp: of the commit, in UTC; None if the log does not have it.
        damaged: its data files that are missing or have another size than in the log;
            None if only Spark can check them.
        unreadable: why readers cannot open it; empty if they can.
    """

    number: int
    timestamp: Optional[datetime.datetime]
    operation: str
    damaged: Optional[Tuple[str, ...]]
    unreadable: str = ""

    @property
    def whole(self) -> bool:
        """Return whether no reason is known why a restore would fail."""
        return not self.damaged and not self.unreadable


class UnrestorableVersionError(LakekitError):
    """A table cannot be restored to a version. `versions` has the known versions of the
    table, newest first. Nothing was changed.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, what: str, next_step: str, versions: Tuple[Version, ...] = ()
    ) -> None:
        super().__init__(f"{what}. Nothing was changed.", next_step)
        self.versions = versions
