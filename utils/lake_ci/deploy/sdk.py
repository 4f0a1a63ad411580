"""Limits how long databricks-sdk waits and how many pages of a list it requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from databricks.sdk import WorkspaceClient, clock
from databricks.sdk.config import Config
from databricks.sdk.core import ApiClient

from lake_ci.deploy.errors import WorkspaceError
from lake_ci.deploy.retries import Clock

MOST_PAGES = 1000


class SdkClock(clock.Clock):
    """A deploy's clock for the SDK; this clock limits each wait.

    Args:
        longest: the longest wait in seconds, even if a server requests a longer wait.
    """

    def __init__(self, clock: Clock, longest: float) -> None:
        self._clock = clock
        self._longest = longest

    def time(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(min(seconds, self._longest))


def client(config: Config) -> WorkspaceClient:
    """Return the SDK's client for a workspace; the client limits the pages of lists."""
    sdk = WorkspaceClient(config=config)
    limit_pages(sdk.api_client)
    return sdk


def limit_pages(api: ApiClient, most: int = MOST_PAGES) -> None:
    """Make the client raise WorkspaceError for a list of more than `most` pages.

    Without a limit, the SDK requests another page whenever an answer has a page token.
    """
    do = api.do
    pages: dict[str, int] = {}

    @wraps(do)
    def limited(method: str, path: str = "", *arguments: Any, **options: Any) -> Any:
        query = options.get("query") or {}
        pages[path] = pages.get(path, 1) + 1 if query.get("page_token") else 1
        if pages[path] > most:
            raise WorkspaceError(f"{method} {path} has more than {most:,} pages")
        return do(method, path, *arguments, **options)

    # Only in its strict mode, mypy knows the type that `wraps` returns.
    replacement: Callable[..., Any] = limited
    api.do = replacement  # type: ignore[method-assign]  # the SDK has no hook for it
