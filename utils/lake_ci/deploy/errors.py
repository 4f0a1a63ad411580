"""What stops a deploy: refused before anything is touched, failed after, or a workspace
that does not answer.
"""

from __future__ import annotations

from lake_ci.errors import LakeCiError, MachineError


class RefusedError(LakeCiError):
    """The deploy may not begin: nothing was changed."""


class NoWorkspaceError(MachineError):
    """There are no credentials of a workspace, or they are of another one: nothing was
    changed.
    """


class StepError(LakeCiError):
    """A step did not do what it is there for; the deploy goes back to the last good
    version.
    """


class WorkspaceError(LakeCiError):
    """The workspace refused a request, or did not answer it.

    Attributes:
        code: Databricks' own error code, such as RESOURCE_DOES_NOT_EXIST; empty where
            there was no answer.
        again: whether the same request may go through when it is sent again.
    """

    def __init__(  # noqa: B042 - never pickled
        self,
        message: str,
        hint: str | None = None,
        *,
        code: str = "",
        again: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.code = code
        self.again = again
