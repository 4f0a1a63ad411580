"""The endpoints: the rows of each table, the list of tables, and health and metrics for
a cluster.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response

from lakekit.declarations.tables import Table
from lakekit_api import openapi
from lakekit_api.cache import PageCache
from lakekit_api.errors import ProblemError
from lakekit_api.guard import guard
from lakekit_api.limits import Slots
from lakekit_api.metrics import Metrics
from lakekit_api.pages import Page, Paging
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Snapshot
from lakekit_api.store import Store
from lakekit_api.tokens import Token
from lakekit_api.values import to_json

CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
"""Only the client itself may cache a page, and it must revalidate the page by its
ETag.
"""


def path_of(table: Table) -> str:
    """Return the path of a table, such as `/gold/delays_by_carrier_day`."""
    return "/" + table.name.replace(".", "/")


def data_router(
    tables: Sequence[Table],
    tokens: Sequence[Token],
    store: Store,
    settings: Settings,
    metrics: Metrics,
) -> APIRouter:
    """Return the endpoints with data. All of them require a token, unless no tokens are
    defined.
    """
    slots, cache = Slots(settings.concurrency), PageCache(settings.cache << 20)
    check = guard(tokens)
    router = APIRouter(tags=["tables"])

    def need(*names: str) -> List[Any]:
        return [Security(check, scopes=list(names))] if tokens else []

    router.add_api_route(
        "/tables",
        _list_of(tables, store, slots),
        dependencies=need(),
        openapi_extra=openapi.TABLES_OPERATION,
    )
    for table in tables:
        paging = Paging(table, settings.limit, settings.max_limit)
        answer = Answer(paging, store, slots, cache, metrics)
        router.add_api_route(
            path_of(table),
            answer.endpoint(),
            name=table.name,
            summary=table.comment or table.name,
            dependencies=need(table.name),
            openapi_extra=openapi.page_operation(paging, path_of(table)),
        )
    return router


def _list_of(tables: Sequence[Table], store: Store, slots: Slots) -> Any:
    """Return the FastAPI endpoint function for the list of tables."""

    async def list_tables(request: Request) -> Response:
        """The tables that the token opens, with their columns and newest versions."""
        token = getattr(request.state, "token", None)
        with slots.take():
            opened = [
                table for table in tables if token is None or token.opens(table.name)
            ]
            descriptions = [await _describe(table, store) for table in opened]
        return Response(
            to_json({"tables": descriptions}), 200, CACHING, "application/json"
        )

    return list_tables


async def _describe(table: Table, store: Store) -> Dict[str, Any]:
    snapshot = None
    try:
        snapshot = await store.newest(table)
    except ProblemError as problem:
        if problem.status != 404:
            raise
    return {
        "name": table.name,
        "href": path_of(table),
        "comment": table.comment,
        "version": snapshot.version if snapshot else None,
        "rows": snapshot.rows if snapshot else None,
        "key": table.key,
        "columns": [
            {
                "name": c.name,
                "type": c.type,
                "required": c.required,
                "comment": c.comment,
            }
            for c in table.columns
        ],
    }


class Answer:
    """Handles requests for the rows of one table."""

    def __init__(
        self,
        paging: Paging,
        store: Store,
        slots: Slots,
        cache: PageCache,
        metrics: Metrics,
    ) -> None:
        self._paging, self._store, self._slots, self._cache = (
            paging,
            store,
            slots,
            cache,
        )
        self._names = [column.name for column in paging.table.columns]
        self._cache_hits = metrics.pages.labels("cache")
        self._cache_misses = metrics.pages.labels("query")

    def endpoint(self) -> Any:
        """Return the FastAPI endpoint function."""

        async def rows(request: Request) -> Response:
            with self._slots.take():
                return await self._answer(request)

        rows.__doc__ = (
            "A page of rows: filtered by columns, sorted, and continued at `next`."
        )
        return rows

    async def _answer(self, request: Request) -> Response:
        query: bytes = request.scope["query_string"]
        page = self._paging.read(query)
        snapshot = await self._snapshot(page)
        state = request.state
        state.table, state.version = self._paging.table.name, snapshot.version
        headers = {**CACHING, "ETag": snapshot.etag}
        if _matches(request.headers.get("if-none-match", ""), snapshot.etag):
            return Response(status_code=304, headers=headers)
        key = (snapshot.relation, query)
        body = self._cache.get(key)
        if body is None:
            body = await self._query(page, snapshot, query)
            self._cache.put(key, body)
            self._cache_misses.inc()
        else:
            self._cache_hits.inc()
        return Response(body, 200, headers, "application/json")

    async def _snapshot(self, page: Page) -> Snapshot:
        table, cursor = self._paging.table, page.cursor
        version = cursor.version if cursor is not None else page.version
        snapshot = await (
            self._store.newest(table)
            if version is None
            else self._store.at(table, version)
        )
        if cursor is not None and cursor.edition != snapshot.edition:
            raise ProblemError(
                410,
                f"{table.name} was rebuilt after that page was read;"
                " start again without after.",
            )
        return snapshot

    async def _query(self, page: Page, snapshot: Snapshot, query: bytes) -> bytes:
        columns = self._paging.table.columns
        rows = await self._store.query(
            snapshot, page.sql(snapshot.relation, columns), page.values()
        )
        following = None
        if len(rows) > page.limit:
            rows = rows[: page.limit]
            given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
            parameters = [
                (name, text) for name, text in given if name not in ("after", "version")
            ]
            cursor = self._paging.cursor(
                page, snapshot.version, snapshot.edition, rows[-1]
            )
            parameters.append(("after", cursor))
            following = f"{path_of(self._paging.table)}?{urlencode(parameters)}"
        return to_json(
            {
                "table": self._paging.table.name,
                "version": snapshot.version,
                "rows": [dict(zip(self._names, row)) for row in rows],
                "next": following,
            }
        )


def _matches(given: str, etag: str) -> bool:
    """Return whether If-None-Match has the ETag or `*`. Weak and strong ETags compare
    as equal.
    """
    named = {each.strip() for each in given.split(",")}
    return "*" in named or etag in named or etag[len("W/") :] in named


def service_router(
    tables: Sequence[Table], store: Store, metrics: Metrics
) -> APIRouter:
    """Return the endpoints for a cluster, which need no token and return no data."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz", summary="The process answers")
    async def healthz() -> Dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Every table can be read",
        responses={503: {"description": "Not every one."}},
    )
    async def readyz() -> JSONResponse:
        states: Dict[str, str] = {}
        for table in tables:
            try:
                await store.newest(table)
                states[table.name] = "ok"
            except ProblemError as problem:
                states[table.name] = problem.detail
        ready = all(word == "ok" for word in states.values())
        body = {"status": "ready" if ready else "not ready", "tables": states}
        return JSONResponse(body, 200 if ready else 503)

    text = {
        "text/plain": {
            "schema": {"type": "string"},
            "example": 'lakekit_api_pages_total{source="cache"} 12.0',
        }
    }

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"description": "Prometheus' text format.", "content": text}},
    )
    async def read_metrics() -> Response:
        return Response(
            metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    return router
