from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings

Connect = Callable[..., TestClient]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer x"},
    ],
)
def test_request_without_a_known_token_is_not_answered(
    headers: Dict[str, str], connect: Connect, settings: Settings
) -> None:
    answer = connect(settings, secret="").get("/gold/trips", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="lakekit"')
    assert "rows" not in answer.json()


def test_token_opens_the_tables_of_its_scopes_only(
    connect: Connect, settings: Settings, secret: str
) -> None:
    client = connect(settings, secret)
    assert client.get("/gold/trips").status_code == 200
    refused = client.get("/gold/other")
    assert refused.status_code == 403 and "gold.other" in refused.json()["detail"]
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert [table["name"] for table in client.get("/tables").json()["tables"]] == [
        "gold.trips"
    ]


def test_without_authentication_no_token_is_asked_for(
    connect: Connect, settings: Settings
) -> None:
    client = connect(dataclasses.replace(settings, no_auth=True), secret="")
    assert client.get("/gold/trips").status_code == 200
    said: Dict[str, Any] = client.get("/openapi.json").json()
    assert "security" not in said["paths"]["/gold/trips"]["get"]


def test_every_route_but_the_service_s_own_asks_for_a_token(
    connect: Connect, settings: Settings
) -> None:
    client = connect(settings, secret="")
    open_to_all = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
    paths = set(client.get("/openapi.json").json()["paths"]) | {"/openapi.json"}
    walked = {path: client.get(path).status_code for path in paths}
    assert {path for path, status in walked.items() if status != 401} == open_to_all
    assert {path for path, status in walked.items() if status == 401} == {
        "/tables",
        "/gold/trips",
        "/gold/other",
    }
