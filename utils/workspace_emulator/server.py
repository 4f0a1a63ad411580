"""The HTTP server. The server combines the services, authenticates requests, injects
faults and records requests.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from .catalog import routes as catalog
from .catalog.state import Catalog
from .clusters import routes as clusters
from .clusters.state import Clusters
from .dbfs import routes as dbfs
from .dbfs.state import Dbfs
from .errors import ApiError, not_emulated
from .faults import routes as admin
from .faults.injection import injected
from .faults.record import Record, redacted
from .faults.rules import Faults
from .files import routes as files
from .files.state import Files
from .forms import read_form
from .identity import routes as identity
from .identity.state import USER, Identity
from .jobs import routes as jobs, run_routes as runs
from .jobs.attempts import Attempts
from .jobs.execution import Execution
from .jobs.state import Jobs
from .libraries import routes as libraries
from .libraries.state import Libraries
from .routing import Call, Route, fields_of
from .runtime.background import Background
from .runtime.environment import Template
from .runtime.release import CACHE, LOCK
from .runtime.spark import Spark
from .secrets import routes as secrets
from .secrets.state import Secrets
from .store import Store
from .tree import Tree
from .workspace import routes as workspace
from .workspace.state import Workspace

log = logging.getLogger(__name__)
MAX_BODY = 64 * 1024 * 1024
"""The maximum size in bytes of a JSON body. Files are streamed and have no limit."""
BODY = web.RequestKey("body", object)
"""The key under which a request stores its body for the record. The body contains no
secrets.
"""
OPEN = "/.well-known/databricks-config"


class Server:
    """The server of one workspace, whose state is in one folder."""

    def __init__(
        self,
        state: Path,
        token: str,
        url: str,
        *,
        jars: Path | None = None,
        template: Template | None = None,
    ) -> None:
        template = template or Template(LOCK, CACHE)
        self.store = Store(state / "state.sqlite")
        self.tree = Tree(state / "files")
        self.background = Background()
        self.faults = Faults(self.background)
        self.record = Record(state / "requests.jsonl")
        self.identity = Identity(self.store, token)
        self.catalog = Catalog(self.store, self.tree, USER)
        self.secrets = Secrets(self.store)
        self.clusters = Clusters(
            self.store, state / "clusters", self.background, template, USER
        )
        self.libraries = Libraries(
            self.store, self.tree, self.clusters, self.background
        )
        self.jobs = Jobs(self.store, USER)
        self.spark = Spark(state / "spark", jars, template)
        attempts = Attempts(
            self.jobs,
            self.clusters,
            self.libraries,
            self.secrets,
            self.tree,
            self.spark,
            state / "runs",
        )
        self.execution = Execution(self.jobs, attempts, self.tree, self.background)
        self._url = url

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            *dbfs.routes(Dbfs(self.tree)),
            *workspace.routes(Workspace(self.store, self.tree)),
            *files.routes(Files(self.tree, self.catalog), self.tree),
            *catalog.routes(self.catalog),
            *clusters.routes(self.clusters),
            *libraries.routes(self.libraries),
            *jobs.routes(self.jobs),
            *runs.routes(self.jobs, self.execution, self._url),
            *secrets.routes(self.secrets, USER),
            *identity.routes(self.identity),
            *admin.routes(self.faults, self.record, self.background),
        ]

    def application(self) -> web.Application:
        """Return the aiohttp application. When the application starts, it continues the
        work that was interrupted when the previous emulator process ended.
        """
        application = web.Application(
            client_max_size=MAX_BODY, middlewares=[self._answer]
        )
        for route in self.routes():
            application.router.add_route(route.method, route.path, self._handler(route))
        application.router.add_route("*", "/{path:.*}", self._unknown)
        application.on_startup.append(self._resume)
        application.on_cleanup.append(self._stop)
        return application

    async def _resume(self, application: web.Application) -> None:
        self.clusters.resume()
        self.libraries.resume()
        self.execution.resume()

    async def _stop(self, application: web.Application) -> None:
        await self.background.stop()
        await self.spark.stop()
        self.store.close()

    @web.middleware
    async def _answer(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Handle and record a request. The response may be an error."""

        async def handle() -> web.StreamResponse:
            if request.path != OPEN:
                self.identity.check(request.headers.get("Authorization"))
            return await handler(request)

        if request.path.startswith(admin.ADMIN):
            return await answered(handle)
        number, start = self.record.next_number(), time.monotonic()
        rule = self.faults.hit(request.method, request.path)
        status: int | None = None
        try:
            if rule is None:
                answer = await answered(handle)
            else:
                ordered = rule
                answer = await answered(
                    lambda: injected(
                        ordered, request, lambda: answered(handle), self.background
                    )
                )
            status = answer.status
            return answer
        finally:
            resource = request.match_info.route.resource
            self.record.add(
                {
                    "number": number,
                    "method": request.method,
                    "path": request.path,
                    "route": resource.canonical if resource is not None else "",
                    "query": dict(request.query),
                    "body": request.get(BODY),
                    "client": request.headers.get("User-Agent", ""),
                    "status": status,
                    "fault": rule.kind if rule else None,
                    "seconds": round(time.monotonic() - start, 3),
                }
            )

    def _handler(
        self, route: Route
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if route.raw:
                return await self._made(route, Call(request, dict(request.query)))
            if request.content_type != "multipart/form-data":
                body = fields_of(await request.read())
                request[BODY] = redacted(body)
                return await self._made(route, Call(request, {**request.query, **body}))
            with self.tree.receiving() as received:
                fields, upload = await read_form(request, received)
                request[BODY] = redacted(fields)
                return await self._made(
                    route, Call(request, {**request.query, **fields}, upload)
                )

        return handle

    async def _made(self, route: Route, call: Call) -> web.StreamResponse:
        if inspect.iscoroutinefunction(route.handler):
            answer = await route.handler(call)
        else:
            with self.store.transaction():
                answer = route.handler(call)
        return (
            answer
            if isinstance(answer, web.StreamResponse)
            else web.json_response(answer)
        )

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        if request.path == OPEN:
            raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for 'GET {OPEN}'")
        raise not_emulated(f"{request.method} {request.path}")


async def answered(
    make: Callable[[], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Return the response of a route. Errors become responses in Databricks' format."""
    try:
        return await make()
    except ApiError as error:
        return web.json_response(error.body, status=error.status, headers=error.headers)
    except web.HTTPException as error:
        # An error that aiohttp raised, for example because the body is too large.
        code = "MALFORMED_REQUEST" if error.status < 500 else "INTERNAL_ERROR"
        return web.json_response(
            {"error_code": code, "message": error.reason}, status=error.status
        )
    except ConnectionError:
        raise  # the client has disconnected
    except Exception as error:
        # For an unexpected exception, return an error response and log the exception.
        log.exception("failed inside the emulator")
        body = {
            "error_code": "INTERNAL_ERROR",
            "message": f"{type(error).__name__}: {error}",
        }
        return web.json_response(body, status=500)
