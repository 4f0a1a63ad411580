from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import List

import pytest

from lakekit.declarations.tables import TableSet
from lakekit.errors import InvalidLakeError
from lakekit.nyc_flights.tables import TABLES
from lakekit_api import Settings, create_app
from lakekit_api.app import check_access, served
from lakekit_api.errors import StartupError
from lakekit_api.hosts import is_loopback
from lakekit_api.tokens import Token


def test_service_without_tokens_does_not_start(settings: Settings) -> None:
    with pytest.raises(StartupError, match="No token is configured") as caught:
        create_app(settings)
    assert "lakekit-api token" in caught.value.next_step


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_no_auth_is_refused_where_others_can_reach_it(
    host: str, settings: Settings
) -> None:
    with pytest.raises(StartupError, match="--no-auth would open the tables"):
        check_access(dataclasses.replace(settings, no_auth=True, host=host), ())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_no_auth_is_taken_on_loopback(host: str, settings: Settings) -> None:
    assert is_loopback(host)
    check_access(dataclasses.replace(settings, no_auth=True, host=host), ())


def test_tokens_that_would_not_be_asked_for_are_refused(
    settings: Settings, tokens: List[Token]
) -> None:
    with pytest.raises(StartupError, match="combined with --no-auth"):
        check_access(dataclasses.replace(settings, no_auth=True), tokens)


def test_lake_must_be_named_and_be_one(settings: Settings, tokens: List[Token]) -> None:
    with pytest.raises(StartupError, match="No lake is set"):
        create_app(dataclasses.replace(settings, lake=""), tokens)
    with pytest.raises(InvalidLakeError, match="a schema, which only Spark"):
        create_app(dataclasses.replace(settings, lake="main.lake"), tokens)


def test_gold_tables_are_served() -> None:
    assert served(Settings.declarations) == TABLES.layer("gold")


@pytest.mark.parametrize(
    "name",
    [
        "no_such_module:TABLES",
        "lakekit.nyc_flights.tables:NONE",
        "lakekit.nyc_flights.tables",
        ":",
        "os:path",
    ],
)
def test_declarations_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(StartupError, match="declarations|TableSet"):
        served(name)


def test_declarations_without_gold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("declared_empty")
    module.TABLES = TableSet((), Path())  # type: ignore[attr-defined]  # a new module
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(StartupError, match="declares no gold table"):
        served("declared_empty:TABLES")
