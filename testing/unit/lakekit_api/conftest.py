"""Fixtures for tests of the API: a lake with two gold tables, and clients of a service
that serves the lake.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Callable, Iterator, List

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings, create_app
from lakekit_api.tokens import Token, make
from testing.unit.lakekit_api.trips import OTHER, ROWS, TABLES, TRIPS, write

SECRETS = {"one": make("one", ["gold.trips"]), "all": make("all", ["*"])}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake with two tables: trips with five rows, and places with one row."""
    folder = tmp_path / "lake"
    write(folder, TRIPS, ROWS)
    write(folder, OTHER, [{"place": 1}])
    return folder


@pytest.fixture
def declarations(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the value of the setting `declarations`, in the form MODULE:NAME."""
    module = types.ModuleType("declared_for_tests")
    module.TABLES = TABLES  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}:TABLES"


@pytest.fixture
def settings(lake: Path, declarations: str) -> Settings:
    """Return settings for tests. The service looks for a new version at every request.
    Time limits are long, so that a slow request is not an error.
    """
    return Settings(
        lake=str(lake), declarations=declarations, refresh=0.0, timeout=600.0
    )


@pytest.fixture
def secret() -> str:
    """Return the secret of the token that allows access to only one table."""
    return SECRETS["one"][0]


@pytest.fixture
def tokens() -> List[Token]:
    """Return two tokens: one allows access to only one table, the other to all
    tables.
    """
    return [token for _, token in SECRETS.values()]


@pytest.fixture
def connect(tokens: List[Token]) -> Iterator[Callable[..., TestClient]]:
    """Yield a function that creates an application, and returns a client of the
    application. By default, the client sends the token for all tables.
    """
    opened: List[TestClient] = []

    def open_client(settings: Settings, secret: str = SECRETS["all"][0]) -> TestClient:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        client = TestClient(
            create_app(settings, () if settings.no_auth else tokens),
            "http://localhost",
            headers=headers,
        )
        client.__enter__()
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(connect: Callable[..., TestClient], settings: Settings) -> TestClient:
    """Return a client that sends the token for all tables."""
    return connect(settings)
