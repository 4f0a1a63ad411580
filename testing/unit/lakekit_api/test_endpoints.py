from __future__ import annotations

import asyncio
import dataclasses
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, List

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings
from lakekit_api.store import Store
from testing.unit.lakekit_api.trips import OTHER, TRIPS, trip, write

Connect = Callable[..., TestClient]


def keys(answer: Any) -> List[str]:
    assert answer.status_code == 200, answer.text
    return [f"{row['day'][-1]}{row['code']}" for row in answer.json()["rows"]]


def test_rows_are_json_of_the_declared_types(client: TestClient) -> None:
    body = client.get("/gold/trips?limit=2").json()
    assert (body["table"], body["version"]) == ("gold.trips", 0)
    assert body["rows"][0] == {
        "day": "2013-01-01",
        "code": "a",
        "n": 1,
        "big": 2**40,
        "ratio": 1.5,
        "ok": True,
        "at": "2013-01-01T12:00:00Z",
        "version": 7,
    }
    assert body["rows"][1]["ratio"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["1a", "1b", "2a", "2b", "3a"]),
        ("code=b", ["1b", "2b"]),
        ("day=2013-01-01&day=2013-01-03", ["1a", "1b", "3a"]),
        ("day.gt=2013-01-01&n.null=false", ["2a", "2b"]),
        ("at.ge=2013-01-01T13:00:00Z", ["1b"]),
        ("at=2013-01-01T14:00:00%2B02:00", ["1a"]),
        ("ok=true", ["1a", "2a"]),
        ("version.eq=7", ["1a"]),
        ("sort=-n", ["2a", "2b", "1b", "1a", "3a"]),
        ("sort=n,-code", ["1a", "1b", "2b", "2a", "3a"]),
        ("sort=-ratio", ["1b", "1a", "2b", "2a", "3a"]),
        ("big=1", []),
    ],
)
def test_rows_are_filtered_and_sorted(
    query: str, expected: List[str], client: TestClient
) -> None:
    assert keys(client.get(f"/gold/trips?{query}")) == expected


def test_pages_lead_to_one_another_and_keep_the_question(client: TestClient) -> None:
    at, found = "/gold/trips?sort=-n&limit=2&n.null=false", []
    while at:
        answer = client.get(at)
        found.append(keys(answer))
        at = answer.json()["next"]
    assert found == [["2a", "2b"], ["1b", "1a"]]


def test_pages_stay_in_the_version_they_began_in(
    client: TestClient, lake: Path
) -> None:
    first = client.get("/gold/trips?limit=3").json()
    write(lake, TRIPS, [trip(9, "z")])
    second = client.get(first["next"])
    assert (keys(second), second.json()["version"]) == (["2b", "3a"], 0)
    assert keys(client.get("/gold/trips")) == ["9z"]


def test_page_of_a_rebuilt_table_is_gone(client: TestClient, lake: Path) -> None:
    first = client.get("/gold/trips?limit=3").json()
    shutil.rmtree(lake / TRIPS.folder)
    write(lake, TRIPS, [trip(9, "z")])
    assert client.get(first["next"]).status_code == 410


def test_version_of_the_past_can_be_read(client: TestClient, lake: Path) -> None:
    write(lake, TRIPS, [trip(9, "z")])
    assert keys(client.get("/gold/trips?version=1")) == ["9z"]
    assert len(keys(client.get("/gold/trips?version=0"))) == 5
    assert client.get("/gold/trips?version=2").status_code == 404


def test_unchanged_table_is_not_sent_again(client: TestClient, lake: Path) -> None:
    etag = client.get("/gold/trips").headers["etag"]
    for known in (etag, f'"other", {etag}', "*", etag[2:]):
        answer = client.get("/gold/trips", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (
            304,
            b"",
            etag,
        )
    write(lake, TRIPS, [trip(9, "z")])
    changed = client.get("/gold/trips", headers={"If-None-Match": etag})
    assert changed.status_code == 200 and changed.headers["etag"] != etag
    assert (
        client.get("/gold/trips?n=x", headers={"If-None-Match": "*"}).status_code == 400
    )


def test_page_is_queried_once_for_each_version(client: TestClient, lake: Path) -> None:
    for _ in range(3):
        client.get("/gold/trips?code=a")
    text = client.get("/metrics").text
    assert 'lakekit_api_pages_total{source="query"} 1.0' in text
    assert 'lakekit_api_pages_total{source="cache"} 2.0' in text
    write(lake, TRIPS, [trip(9, "a")])
    assert keys(client.get("/gold/trips?code=a")) == ["9a"]
    assert (
        'lakekit_api_table_version{table="gold.trips"} 1.0'
        in client.get("/metrics").text
    )


def test_tables_are_listed_with_their_columns_and_versions(
    client: TestClient, lake: Path
) -> None:
    shutil.rmtree(lake / OTHER.folder)
    trips, other = client.get("/tables").json()["tables"]
    assert (trips["href"], trips["version"], trips["rows"], trips["key"]) == (
        "/gold/trips",
        0,
        5,
        ["day", "code"],
    )
    assert trips["columns"][0] == {
        "name": "day",
        "type": "date",
        "required": True,
        "comment": "Local day",
    }
    assert (other["name"], other["version"]) == ("gold.other", None)


def test_service_is_ready_when_every_table_can_be_read(
    client: TestClient, lake: Path
) -> None:
    assert client.get("/readyz").json() == {
        "status": "ready",
        "tables": {"gold.trips": "ok", "gold.other": "ok"},
    }
    shutil.rmtree(lake)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert str(lake) not in answer.text
    assert client.get("/healthz").status_code == 200


def test_requests_beyond_the_limit_are_refused_at_once(
    connect: Connect, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(dataclasses.replace(settings, concurrency=1))
    entered, free, query = threading.Event(), threading.Event(), Store.query

    async def wait_and_query(self: Store, *arguments: Any) -> Any:
        entered.set()
        await asyncio.get_running_loop().run_in_executor(None, free.wait)
        return await query(self, *arguments)

    monkeypatch.setattr(Store, "query", wait_and_query)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.get, "/gold/trips")
        assert entered.wait(60)
        second, alive = client.get("/gold/trips"), client.get("/healthz")
        free.set()
        assert first.result().status_code == 200
    assert (second.status_code, second.headers["retry-after"], alive.status_code) == (
        429,
        "1",
        200,
    )
    assert client.get("/gold/trips").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "code='%3B drop table x%3B--",
        "code=%00",
        "code=%ff%fe",
        "sort=code'",
        "limit=9%00",
    ],
)
def test_text_of_a_request_never_becomes_sql(query: str, client: TestClient) -> None:
    assert client.get(f"/gold/trips?{query}").status_code in (200, 400)
    assert len(keys(client.get("/gold/trips"))) == 5


def test_unknown_path_and_method_are_problems(client: TestClient) -> None:
    missing, posted = client.get("/gold/none"), client.post("/gold/trips")
    assert (missing.status_code, posted.status_code, posted.headers["allow"]) == (
        404,
        405,
        "GET, HEAD",
    )
    assert (
        missing.headers["content-type"]
        == posted.headers["content-type"]
        == "application/problem+json"
    )


def test_link_header_is_the_next_page_also_from_the_cache(client: TestClient) -> None:
    first, cached = (client.get("/gold/trips?limit=3") for _ in range(2))
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    assert cached.headers["link"] == first.headers["link"]
    last = client.get(first.links["next"]["url"])
    assert last.json()["next"] is None and "link" not in last.headers


@pytest.mark.parametrize(
    "path",
    [
        "/gold/trips?limit=3",
        "/gold/trips?limit=0",
        "/gold/none",
        "/tables",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ],
)
def test_head_is_get_without_the_body(path: str, client: TestClient) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "etag", "link", "vary", "cache-control"):
        assert head.headers.get(name) == got.headers.get(name)
    if path != "/metrics":
        assert head.headers["content-length"] == str(len(got.content))


def test_head_of_a_known_page_is_not_modified(client: TestClient) -> None:
    etag = client.get("/gold/trips").headers["etag"]
    answer = client.head("/gold/trips", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.headers["etag"]) == (304, etag)
    counted = 'requests_total{method="HEAD",route="/gold/trips",status="304"} 1.0'
    assert counted in client.get("/metrics").text
