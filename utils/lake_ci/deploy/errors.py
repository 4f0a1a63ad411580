"""Defines the errors of a deploy.

A deploy can be refused before a change, fail after a change, or get no answer from the
workspace.
"""

from __future__ import annotations

from lake_ci.errors import LakeCiError, MachineError


class RefusedError(LakeCiError):
    """The deploy is refused; nothing was changed.

    Attributes:
        file: the path of the wrong file, relative to the repository; None if no file is
            wrong.
    """

    def __init__(  # noqa: B042 - never pickled
        self, message: str, hint: str | None = None, *, file: str | None = None
    ) -> None:
        super().__init__(message, hint)
        self.file = file


class NoWorkspaceError(MachineError):
    """There are no credentials, or the credentials are for another workspace.

    Nothing was changed.
    """


class StepError(LakeCiError):
    """A step of the deploy failed, so the deploy is undone."""


class WorkspaceError(LakeCiError):
    """The workspace rejected a request or did not answer.

    Attributes:
        code: Databricks' error code, such as RESOURCE_DOES_NOT_EXIST; empty if there
            was no answer.
        retryable: whether a retry of the same request may succeed.
    """

    def __init__(  # noqa: B042 - never pickled
        self,
        message: str,
        hint: str | None = None,
        *,
        code: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.code = code
        self.retryable = retryable
