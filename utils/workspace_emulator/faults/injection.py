"""Injects faults at the HTTP level into requests; nothing is mocked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import ApiError
from ..identity.errors import expired_token
from ..runtime.background import Background
from .rules import Rule, overwritten

CALLER_CHECK_SECONDS = 0.05


class FileAnswer(web.FileResponse):
    """A file response that stores the path of its file, because the fault `truncate`
    reads the file.
    """

    def __init__(self, file: str, content_type: str) -> None:
        super().__init__(file, headers={"Content-Type": content_type})
        self.file = file


async def injected(
    rule: Rule,
    request: web.Request,
    handle: Callable[[], Awaitable[web.StreamResponse]],
    background: Background,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> web.StreamResponse:
    """Return the response to a request that matches a fault. `handle` handles the
    request as if there were no fault, and returns the response.

    Raises:
        ApiError: the fault requires an error response.
    """
    if rule.when == "before":
        refuse(rule, request)
        await wait(rule, request, background, sleep)
        return await handle()
    answer = await handle()
    refuse(rule, request)
    await wait(rule, request, background, sleep)
    if rule.kind == "truncate":
        return await truncated(answer, request)
    if rule.kind == "state":
        return changed(answer, rule)
    return answer


def refuse(rule: Rule, request: web.Request) -> None:
    """Raise the error response of a fault, or drop the connection."""
    if rule.kind == "status":
        raise ApiError(rule.status, rule.error_code, rule.message, rule.headers)
    if rule.kind == "expired-token":
        raise expired_token()
    if rule.kind == "drop":
        drop(request)


async def wait(
    rule: Rule,
    request: web.Request,
    background: Background,
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    """Wait if the fault is `slow` or `hold`. If the client disconnects before the
    request is handled, the request is never handled.
    """
    if rule.kind == "slow":
        await sleep(rule.seconds)
    elif rule.kind == "hold":
        rule.holding += 1
        background.changed()
        try:
            while not rule.released and not _gone(request):
                await sleep(CALLER_CHECK_SECONDS)
        finally:
            rule.holding -= 1
            background.changed()
    if rule.kind in ("slow", "hold") and rule.when == "before" and _gone(request):
        drop(request)


def drop(request: web.Request) -> None:
    """Reset the connection and stop handling the request."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("connection dropped by an injected fault")


async def truncated(
    answer: web.StreamResponse, request: web.Request
) -> web.StreamResponse:
    """Send the headers and the first half of the body, then close the connection."""
    if isinstance(answer, FileAnswer):
        with open(answer.file, "rb") as opened:
            body = opened.read()
    else:
        assert isinstance(answer, web.Response) and (
            answer.body is None or isinstance(answer.body, bytes)
        )
        body = answer.body or b""
    assert request.transport is not None
    head = (
        f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Type:"
        f" {answer.content_type}\r\n"
    )
    if body:
        whole = (
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
            + body[: len(body) // 2]
        )
    else:
        whole = head.encode()[:-2]
    request.transport.write(whole)
    request.transport.close()
    raise ConnectionResetError("response truncated by an injected fault")


def changed(answer: web.StreamResponse, rule: Rule) -> web.StreamResponse:
    """Return the response with the fields that the fault overwrites."""
    if (
        not isinstance(answer, web.Response)
        or answer.content_type != "application/json"
    ):
        return answer
    assert isinstance(answer.body, bytes)
    return web.json_response(
        overwritten(json.loads(answer.body), rule.fields), status=answer.status
    )


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
