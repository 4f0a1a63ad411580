from __future__ import annotations

from typing import Any, Dict

import pytest
from fastapi.testclient import TestClient

from lakekit_api import far, openapi
from lakekit_api.pages import Paging
from testing.unit.lakekit_api.trips import TRIPS

Json = Dict[str, Any]


@pytest.fixture
def operation(client: TestClient) -> Json:
    found: Json = client.get("/openapi.json").json()["paths"]["/gold/trips"]["get"]
    return found


def test_every_parameter_that_is_read_is_described(operation: Json) -> None:
    said = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    assert said == {"sort", "limit", "after", "version", *Paging(TRIPS, 1, 1).filters}


def test_examples_are_values_that_the_service_takes(operation: Json) -> None:
    paging = Paging(TRIPS, 100, 1000)
    for each in operation["parameters"]:
        if "example" in each:
            texts = (
                each["example"]
                if isinstance(each["example"], list)
                else [each["example"]]
            )
            text = ",".join(map(str, texts)).replace("True", "true")
            assert paging.read(f"{each['name']}={text}".encode()).limit > 0
    assert any("example" in each for each in operation["parameters"])


def test_row_is_as_declared() -> None:
    row = openapi.row(TRIPS)
    assert row["required"] == [column.name for column in TRIPS.columns]
    assert row["properties"]["day"] == {
        "type": "string",
        "anyOf": [
            {"format": "date"},
            {"pattern": f"^{far.PATTERN['date']}$", "description": openapi.FAR},
        ],
        "description": "Local day",
    }
    assert row["properties"]["n"] == {
        "type": ["integer", "null"],
        "minimum": -(2**31),
        "maximum": 2**31 - 1,
    }


def test_data_endpoints_need_their_scope(operation: Json) -> None:
    assert operation["security"] == [{"HTTPBearer": ["gold.trips"]}]
    statuses = "200 304 400 401 403 404 410 414 421 429 431 503 504"
    assert set(statuses.split()) == set(operation["responses"])
