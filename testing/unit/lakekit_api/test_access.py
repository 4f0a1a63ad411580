from __future__ import annotations

import json
import logging
from typing import Any, Dict, List

import pytest
from fastapi.testclient import TestClient

from lakekit_api.logs import EXTRA, LOGGER
from lakekit_api.store import Store


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOGGER)
    return caplog


def said(logged: pytest.LogCaptureFixture) -> List[Dict[str, Any]]:
    return [
        getattr(record, EXTRA)
        for record in logged.records
        if record.message == "answered"
    ]


def test_request_is_logged_with_who_asked_for_what(
    client: TestClient, logged: pytest.LogCaptureFixture
) -> None:
    answer = client.get(
        "/gold/trips?code=secret-value", headers={"X-Request-ID": "mine-1"}
    )
    assert answer.headers["x-request-id"] == "mine-1"
    [line] = said(logged)
    assert line.pop("ms") > 0
    assert line == {
        "method": "GET",
        "path": "/gold/trips",
        "status": 200,
        "request_id": "mine-1",
        "client": "all",
        "table": "gold.trips",
        "version": 0,
    }


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b'])
def test_id_that_could_mislead_a_log_is_replaced(
    given: str, client: TestClient
) -> None:
    made = client.get("/healthz", headers={"X-Request-ID": given}).headers[
        "x-request-id"
    ]
    assert made != given and len(made) == 32


def test_probes_are_not_logged_unless_they_fail(
    client: TestClient, logged: pytest.LogCaptureFixture
) -> None:
    client.get("/healthz")
    client.get("/metrics")
    assert said(logged) == []
    client.post("/healthz")
    assert [line["status"] for line in said(logged)] == [405]


def test_defect_of_ours_is_answered_without_a_word_of_it(
    client: TestClient,
    logged: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("at /home/secret.py")

    monkeypatch.setattr(Store, "newest", fail)
    answer = client.get("/gold/trips")
    assert (answer.status_code, answer.headers["content-type"]) == (
        500,
        "application/problem+json",
    )
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert (
        answer.json()["request_id"]
        == answer.headers["x-request-id"]
        == said(logged)[0]["request_id"]
    )
    [failed] = [record for record in logged.records if record.message == "failed"]
    assert failed.exc_info is not None and "secret.py" in str(failed.exc_info[1])


def test_token_is_never_logged(
    client: TestClient, logged: pytest.LogCaptureFixture, secret: str
) -> None:
    client.get(
        f"/gold/trips?code={secret}", headers={"Authorization": f"Bearer {secret}"}
    )
    assert said(logged)
    assert secret not in json.dumps(
        [record.__dict__ for record in logged.records], default=str
    )
