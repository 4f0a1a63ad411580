"""Creates the FastAPI application from declarations, a lake and tokens."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
from contextlib import asynccontextmanager
from typing import AsyncIterator, Sequence, Sized, Union

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from lakekit.declarations.tables import Table, TableSet
from lakekit.storage.lake import find_lake
from lakekit_api.access import Access
from lakekit_api.endpoints import data_router, service_router
from lakekit_api.errors import ProblemError, StartupError, respond
from lakekit_api.hosts import HostCheck, HostRule, is_loopback
from lakekit_api.keyring import Keyring
from lakekit_api.metrics import Metrics
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Reader
from lakekit_api.store import Store
from lakekit_api.tokens import MAKE, Token

LAYER = "gold"


def create_app(
    settings: Settings, tokens: Union[Sequence[Token], Keyring] = ()
) -> FastAPI:
    """Return the application for the gold tables of a lake.

    Raises InvalidLakeError for an invalid lake, and StartupError for other invalid
    settings.
    """
    keyring = tokens if isinstance(tokens, Keyring) else Keyring(tokens)
    check_access(settings, keyring)
    rule = HostRule(settings)
    if not settings.lake:
        raise StartupError("No lake is set", "Add --lake, or set LAKEKIT_API_LAKE.")
    tables = served(settings.declarations)
    metrics = Metrics()
    store = Store(
        Reader(find_lake(settings.lake), settings.memory), tables, settings, metrics
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.ensure_future(keyring.watch())
        yield
        watching.cancel()
        store.close()

    app = FastAPI(
        title="lakekit",
        summary="The gold tables of a lake",
        description="Every path that supports GET also supports HEAD.",
        version=_version(),
        lifespan=lifespan,
        # There are no documentation pages, because FastAPI's pages load scripts from
        # another host.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # FastAPI would generate the document for each request
    )
    app.state.metrics = metrics
    app.include_router(data_router(tables, keyring, store, settings, metrics))
    app.include_router(service_router(tables, store, metrics))
    description = orjson.dumps(app.openapi())

    async def openapi(_: Request) -> Response:
        return Response(description, media_type="application/json")

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _problem)
    app.add_middleware(HostCheck, rule=rule)
    app.add_middleware(Access, metrics=metrics)
    return app


def check_access(settings: Settings, tokens: Sized) -> None:
    """Raise StartupError unless either tokens or --no-auth are given, but not both.

    With --no-auth, also raises StartupError if other machines can reach the service's
    address.
    """
    if settings.no_auth and tokens:
        raise StartupError(
            "Tokens cannot be combined with --no-auth",
            "Remove --no-auth, or remove the tokens.",
        )
    if settings.no_auth and not is_loopback(settings.host):
        raise StartupError(
            "--no-auth would open the tables to everyone who can reach"
            f" {settings.host}",
            "Listen on 127.0.0.1, or give tokens with --tokens FILE.",
        )
    if not settings.no_auth and not tokens:
        raise StartupError(
            "No token is configured, so nobody could read a table",
            f"{MAKE} Then add --tokens-file FILE.",
        )


def served(declarations: str) -> Sequence[Table]:
    """Return the gold tables of the declarations. `declarations` is MODULE:NAME.

    Raises StartupError if the declarations cannot be loaded or have no gold table.
    """
    module, _, attribute = declarations.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StartupError(
            f"The declarations {declarations} cannot be loaded: {error}",
            "Name them as MODULE:NAME.",
        ) from None
    if not isinstance(found, TableSet):
        raise StartupError(
            f"{declarations} is no lakekit.declarations.tables.TableSet",
            "Name one as MODULE:NAME.",
        )
    tables = found.layer(LAYER)
    if not tables:
        raise StartupError(
            f"{declarations} declares no {LAYER} table",
            f"Declare one named {LAYER}.NAME.",
        )
    return tables


def _version() -> str:
    try:
        return importlib.metadata.version("lakekit")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0+unknown"


async def _problem(request: Request, error: Exception) -> Response:
    """Return the response for a ProblemError, or for an error that the framework
    raises, for example because a path is unknown or does not support the method.
    """
    if isinstance(error, HTTPException):
        details = {404: "There is nothing at this path; see /tables and /openapi.json."}
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"  # `Access` handles HEAD as GET
        detail = details.get(error.status_code, str(error.detail))
        error = ProblemError(error.status_code, detail, headers)
    assert isinstance(error, ProblemError)
    return respond(error, request.state.request_id)
