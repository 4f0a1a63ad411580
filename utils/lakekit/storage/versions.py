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
        timestamp: time of the commit, in UTC; None if this time is not in the log.
        damaged: data files of the version that are missing, or whose size differs from
            the size in the log; None if only Spark can check the files.
        unreadable: why readers cannot open the version; empty if they can open it.
    """

    number: int
    timestamp: Optional[datetime.datetime]
    operation: str
    damaged: Optional[Tuple[str, ...]]
    unreadable: str = ""

    @property
    def whole(self) -> bool:
        """Return whether the version is undamaged and readable, as far as lakekit can
        check.
        """
        return not self.damaged and not self.unreadable


class UnrestorableVersionError(LakekitError):
    """A table cannot be restored to the requested version. Nothing was changed.

    `versions` has the known versions of the table, newest first.
    """

    exit_code = 2

    def __init__(  # noqa: B042  # never pickled
        self, what: str, next_step: str, versions: Tuple[Version, ...] = ()
    ) -> None:
        super().__init__(f"{what}. Nothing was changed.", next_step)
        self.versions = versions
