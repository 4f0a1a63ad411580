"""The endpoints for the rows of each table, for the list of tables, and for the health
and the metrics of the service.
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List, Optional, Sequence, Tuple

from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response

from lakekit.declarations.tables import Table
from lakekit_api import far, openapi
from lakekit_api.cache import Body, PageCache
from lakekit_api.errors import ProblemError
from lakekit_api.guard import guard
from lakekit_api.keyring import Keyring
from lakekit_api.limits import Slots
from lakekit_api.logs import output
from lakekit_api.metrics import Metrics
from lakekit_api.pages import NoCursorError, Page, Paging, next_link
from lakekit_api.settings import Settings
from lakekit_api.snapshots import Snapshot
from lakekit_api.store import Store
from lakekit_api.values import to_json

CACHING = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
"""The client may cache a page, but shared caches may not. Before each use of a cached
page, the client must send the ETag to check that the page is still valid.
"""
STALE = "Lakekit-Stale"
"""The header that contains the age of the served version in seconds. The service sends
this header if it cannot read the table now: then a newer version may exist.
"""


def path_of(table: Table) -> str:
    """Return the path of a table, such as `/gold/delays_by_carrier_day`."""
    return "/" + table.name.replace(".", "/")


def data_router(
    tables: Sequence[Table],
    keyring: Keyring,
    store: Store,
    settings: Settings,
    metrics: Metrics,
) -> APIRouter:
    """Return the router with the endpoints for the list of tables and the tables' rows.
    If tokens are defined, each of these endpoints requires a token.
    """
    slots, cache = Slots(settings.concurrency), PageCache(settings.cache << 20)
    check = guard(keyring)
    router = APIRouter(tags=["tables"])

    def need(*names: str) -> List[Any]:
        return [Security(check, scopes=list(names))] if keyring else []

    router.add_api_route(
        "/tables",
        _list_of(tables, store, slots),
        dependencies=need(),
        openapi_extra=openapi.TABLES_OPERATION,
    )
    for table in tables:
        paging = Paging(table, settings.limit, settings.max_limit)
        answer = Answer(paging, store, slots, cache, metrics, settings.max_url)
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
        """The tables that the token allows, with their columns and newest versions."""
        token = getattr(request.state, "token", None)
        with slots.take():
            opened = [
                table for table in tables if token is None or token.opens(table.name)
            ]
            descriptions = await asyncio.gather(
                *(_describe(table, store) for table in opened)
            )
        return Response(
            to_json({"tables": descriptions}), 200, CACHING, "application/json"
        )

    return list_tables


async def _state(table: Table, store: Store) -> Tuple[Optional[Snapshot], str, str]:
    """Return the newest version of a table to serve, the table's status, and details.

    The version is None if no version can be served. The details describe the status,
    and are empty if the status is `ok`.
    """
    try:
        snapshot = await store.newest(table, probe=True)
    except ProblemError as problem:
        status = "missing" if problem.status == 404 else "unreadable"
        return None, status, problem.detail
    seconds = store.staleness(table)
    if seconds is None:
        return snapshot, "ok", ""
    return snapshot, "stale", f"{table.name} was last read {seconds} s ago."


async def _describe(table: Table, store: Store) -> Dict[str, Any]:
    snapshot, status, detail = await _state(table, store)
    return {
        "name": table.name,
        "href": path_of(table),
        "comment": table.comment,
        "status": status,
        "detail": detail,
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
        max_url: int,
    ) -> None:
        self._paging, self._store, self._slots, self._cache = (
            paging,
            store,
            slots,
            cache,
        )
        self._max_url = max_url
        self._names = [column.name for column in paging.table.columns]
        self._path = path_of(paging.table)
        self._cache_hits = metrics.pages.labels("cache")
        self._cache_misses = metrics.pages.labels("query")

    def endpoint(self) -> Any:
        """Return the FastAPI endpoint function."""

        async def rows(request: Request) -> Response:
            with self._slots.take():
                return await self._answer(request)

        rows.__doc__ = (
            "A page of rows, which can be filtered and sorted. `next` is the URL of the"
            " next page."
        )
        return rows

    async def _answer(self, request: Request) -> Response:
        query: bytes = request.scope["query_string"]
        page = self._paging.read(query)
        snapshot = await self._snapshot(page)
        state = request.state
        state.table, state.version = self._paging.table.name, snapshot.version
        headers = {**CACHING, "ETag": snapshot.etag}
        stale = self._store.staleness(self._paging.table)
        if stale is not None:
            headers[STALE] = str(stale)
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
        if body.next is not None:
            headers["Link"] = f'<{body.next}>; rel="next"'
        return Response(body.json, 200, headers, "application/json")

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
                f"{table.name} was rebuilt after the previous page was read."
                " Start again without `after`.",
            )
        if cursor is not None and cursor.position >= snapshot.rows:
            raise NoCursorError
        return snapshot

    async def _query(self, page: Page, snapshot: Snapshot, query: bytes) -> Body:
        columns = self._paging.table.columns
        rows = await self._store.query(
            snapshot,
            page.sql(snapshot.relation, columns, snapshot.far),
            page.values(),
        )
        following = None
        if len(rows) > page.limit:
            rows = rows[: page.limit]
            cursor = page.next(snapshot.version, snapshot.edition, rows[-1][-1])
            following = next_link(self._path, query, cursor, self._max_url)
        # The last value of a row is the row's position. The position belongs to no
        # declared column.
        found = [dict(zip(self._names, row)) for row in rows]
        for column in columns:
            if column.name in snapshot.far:
                for row in found:
                    stored = row[column.name]
                    if stored is not None:
                        row[column.name] = far.to_json(column.type, stored)
        body = {
            "table": self._paging.table.name,
            "version": snapshot.version,
            "rows": found,
            "next": following,
        }
        return Body(to_json(body), following)


def _matches(given: str, etag: str) -> bool:
    """Return whether If-None-Match contains the ETag or `*`. The prefix `W/` of a weak
    ETag is ignored.
    """
    named = {each.strip() for each in given.split(",")}
    return "*" in named or etag in named or etag[len("W/") :] in named


def service_router(
    tables: Sequence[Table], store: Store, metrics: Metrics
) -> APIRouter:
    """Return the router with the health and metrics endpoints. These endpoints require
    no token and return no rows.
    """
    router = APIRouter(tags=["service"])

    @router.get("/healthz", summary="The process responds")
    async def healthz() -> Dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Tables can be read",
        description=(
            "The service is ready if at least one table can be served. Tables that"
            " cannot be read are reported."
        ),
        responses={503: {"description": "No table can be read."}},
    )
    async def readyz() -> JSONResponse:
        states = await asyncio.gather(*(_state(table, store) for table in tables))
        words = {
            table.name: detail or status
            for table, (_, status, detail) in zip(tables, states)
        }
        if all(status == "ok" for _, status, _ in states):
            ready = "ready"
        else:
            ready = "degraded" if any(each[0] for each in states) else "not ready"
        body = {"status": ready, "tables": words}
        return JSONResponse(body, 503 if ready == "not ready" else 200)

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
        store.measure()
        metrics.log_lines_dropped.set(output().dropped)
        return Response(
            metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    return router
