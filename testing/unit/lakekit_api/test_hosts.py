from __future__ import annotations

import dataclasses
from typing import Callable, Dict

import pytest
from fastapi.testclient import TestClient

from lakekit_api import Settings
from lakekit_api.errors import StartupError
from lakekit_api.hosts import HostRule

Connect = Callable[..., TestClient]
HOSTS = "lake.example.com, *.internal, 10.0.0.0/8, fd00::/8, 192.0.2.7"


def status(client: TestClient, host: str, path: str = "/gold/trips") -> int:
    return client.get(path, headers={"Host": host}).status_code


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("lake.example.com", 200),
        ("LAKE.example.com:8443", 200),
        ("lake.example.com.", 200),
        ("api.internal", 200),
        ("10.1.2.3:8080", 200),
        ("[fd00::1]:8080", 200),
        ("192.0.2.7", 200),
        ("evil.example.com", 421),
        ("lake.example.com.evil.com", 421),
        ("internal", 421),
        ("evilinternal", 421),
        ("11.0.0.1", 421),
        ("[fe80::1]", 421),
        ("localhost", 421),
        ("", 400),
        ("a b", 400),
        ("user@lake.example.com", 400),
        ("lake.example.com:80:80", 400),
        ("lake.example.com, evil.com", 400),
    ],
)
def test_host_is_checked_against_the_setting(
    host: str, expected: int, connect: Connect, settings: Settings
) -> None:
    client = connect(dataclasses.replace(settings, allowed_hosts=HOSTS))
    assert status(client, host) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("127.9.9.9:1", 200),
        ("[::1]:8080", 200),
        ("lake.example.com", 421),
        ("localhost.evil.com", 421),
        ("10.1.2.3", 421),
        ("0.0.0.0", 421),
    ],
)
def test_without_authentication_only_this_machine_is_named(
    host: str, expected: int, connect: Connect, settings: Settings
) -> None:
    client = connect(dataclasses.replace(settings, no_auth=True), secret="")
    assert status(client, host) == expected


@pytest.mark.parametrize("no_auth", [True, False])
def test_probes_by_address_are_answered_on_their_paths_only(
    no_auth: bool, connect: Connect, settings: Settings
) -> None:
    hosts = "" if no_auth else "lake.example.com"
    client = connect(
        dataclasses.replace(settings, no_auth=no_auth, allowed_hosts=hosts)
    )
    found: Dict[str, int] = {}
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/gold/trips"):
        found[path] = status(client, "10.4.5.6:8080", path)
        assert status(client, "evil.example.com", path) == 421
    assert found.pop("/healthz") == found.pop("/readyz") == 200
    assert set(found.values()) == {421}


def test_refused_host_is_a_problem_and_is_counted(
    connect: Connect, settings: Settings
) -> None:
    client = connect(dataclasses.replace(settings, allowed_hosts="localhost"))
    answer = client.get("/gold/trips", headers={"Host": "evil.example.com"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert 'route="none",status="421"} 1.0' in client.get("/metrics").text


def test_any_host_is_taken_with_tokens_and_without_the_setting(
    client: TestClient,
) -> None:
    assert status(client, "anything.example.org") == 200


@pytest.mark.parametrize(
    "entry", ["lake:8080", "http://lake", "*", "10.0.0.0/99", "a b"]
)
def test_entry_that_is_no_host_is_refused(entry: str, settings: Settings) -> None:
    with pytest.raises(StartupError, match="is no host"):
        HostRule(dataclasses.replace(settings, allowed_hosts=entry))
