"""Tests the reaction of the SDK to HTTP faults, and the emulator's record of
requests.
"""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InternalError, PermissionDenied
from databricks.sdk.service.compute import State

from workspace_emulator.launch import Emulator


@pytest.fixture(autouse=True)
def no_faults_left(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.admin("DELETE", "faults")


def get(emulator: Emulator, path: str) -> tuple[int, bytes]:
    """Send a request with a client that does not retry."""
    connection = http.client.HTTPConnection(
        emulator.url.removeprefix("http://"), timeout=60
    )
    try:
        connection.request(
            "GET", path, headers={"Authorization": f"Bearer {emulator.token}"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


LIST = "/api/2.0/secrets/scopes/list"


def test_a_status_comes_as_often_as_ordered_and_the_sdk_tries_again(
    emulator: Emulator, sdk: WorkspaceClient
) -> None:
    emulator.admin(
        "POST",
        "faults",
        kind="status",
        path=LIST,
        status=429,
        count=1,
        skip=1,
        headers={"Retry-After": "0"},
    )
    assert [get(emulator, LIST)[0] for _ in range(3)] == [200, 429, 200]
    emulator.admin("DELETE", "faults")
    emulator.admin(
        "POST",
        "faults",
        kind="status",
        path=LIST,
        status=429,
        headers={"Retry-After": "1"},
    )
    list(sdk.secrets.list_scopes())
    [rule] = emulator.admin("GET", "faults")["faults"]
    assert (rule["hit"], rule["seen"]) == (1, 2)
    emulator.admin(
        "POST",
        "faults",
        kind="status",
        path=LIST,
        status=500,
        error_code="INTERNAL_ERROR",
    )
    with pytest.raises(InternalError, match="injected fault"):
        list(sdk.secrets.list_scopes())


def test_a_connection_is_dropped_before_or_after_the_request_took_effect(
    emulator: Emulator,
) -> None:
    emulator.admin("POST", "faults", kind="drop", path=LIST)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        get(emulator, LIST)
    for when, kept in (("before", False), ("after", True)):
        put = "/api/2.0/dbfs/mkdirs"
        emulator.admin("POST", "faults", kind="drop", path=put, when=when)
        connection = http.client.HTTPConnection(
            emulator.url.removeprefix("http://"), timeout=60
        )
        headers = {"Authorization": f"Bearer {emulator.token}"}
        connection.request(
            "POST", put, json.dumps({"path": f"/dropped-{when}"}), headers
        )
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            connection.getresponse()
        connection.close()
        assert (
            get(emulator, f"/api/2.0/dbfs/get-status?path=/dropped-{when}")[0] == 200
        ) is kept


def test_an_answer_is_cut_in_its_middle(
    emulator: Emulator, sdk: WorkspaceClient, volume: str
) -> None:
    emulator.admin("POST", "faults", kind="truncate", path=LIST)
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(emulator, LIST)
    assert cut.value.expected
    sdk.files.upload(f"{volume}/cut.bin", io.BytesIO(b"x" * 1000))
    emulator.admin("POST", "faults", kind="truncate", method="GET", path="*/cut.bin")
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(emulator, f"/api/2.0/fs/files{volume}/cut.bin")
    assert cut.value.partial == b"x" * 500


def test_an_answer_is_slow(emulator: Emulator) -> None:
    # testing/unit/workspace_emulator/faults/test_injection.py tests the duration.
    rule = emulator.admin("POST", "faults", kind="slow", path=LIST, seconds=0.01)
    assert get(emulator, LIST)[0] == 200
    assert emulator.admin("GET", f"faults/{rule['id']}/hit?seconds=0")["hit"] == 1


def test_a_state_never_comes(
    emulator: Emulator, sdk: WorkspaceClient, cluster: str
) -> None:
    emulator.admin(
        "POST",
        "faults",
        kind="state",
        path="*/clusters/get",
        fields={"state": "RESTARTING"},
        count=2,
    )
    assert [sdk.clusters.get(cluster).state for _ in range(3)] == [
        State.RESTARTING
    ] * 2 + [State.RUNNING]


def test_a_token_expires(emulator: Emulator, sdk: WorkspaceClient) -> None:
    emulator.admin("POST", "faults", kind="expired-token", path="*/scim/v2/Me")
    with pytest.raises(PermissionDenied, match="expired"):
        sdk.current_user.me()
    assert sdk.current_user.me().user_name


@pytest.mark.parametrize(("when", "kept"), [("before", False), ("after", True)])
def test_a_request_is_held_until_its_caller_is_gone(
    emulator: Emulator, when: str, kept: bool
) -> None:
    """Kills a client once before and once after its request takes effect."""
    path = f"/held-{when}"
    rule = emulator.admin(
        "POST", "faults", kind="hold", path="/api/2.0/dbfs/mkdirs", when=when
    )
    connection = http.client.HTTPConnection(
        emulator.url.removeprefix("http://"), timeout=60
    )
    headers = {"Authorization": f"Bearer {emulator.token}"}
    connection.request(
        "POST", "/api/2.0/dbfs/mkdirs", json.dumps({"path": path}), headers
    )
    assert emulator.admin("GET", f"faults/{rule['id']}/hit?seconds=60")["holding"] == 1
    connection.close()
    deadline = time.monotonic() + 60
    while emulator.admin("GET", "faults")["faults"][0]["holding"]:
        assert time.monotonic() < deadline
    assert (get(emulator, f"/api/2.0/dbfs/get-status?path={path}")[0] == 200) is kept


def test_a_held_request_goes_on_when_it_is_released(emulator: Emulator) -> None:
    rule = emulator.admin("POST", "faults", kind="hold", path=LIST)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(get(emulator, LIST)[0]))
    thread.start()
    emulator.admin("GET", f"faults/{rule['id']}/hit?seconds=60")
    assert not found
    emulator.admin("POST", f"faults/{rule['id']}/release")
    thread.join(60)
    assert found == [200]


def test_a_request_is_recorded_without_its_secrets(
    emulator: Emulator, sdk: WorkspaceClient
) -> None:
    before = emulator.requests()[-1]["number"]
    sdk.secrets.create_scope("recorded")
    sdk.secrets.put_secret("recorded", "key", string_value="canary-4711")
    found = emulator.requests(before)
    assert [(each["method"], each["route"], each["status"]) for each in found] == [
        ("POST", "/api/2.0/secrets/scopes/create", 200),
        ("POST", "/api/2.0/secrets/put", 200),
    ]
    assert found[1]["body"] == {
        "key": "key",
        "scope": "recorded",
        "string_value": "(11 characters)",
    }
    recorded = (emulator.state / "requests.jsonl").read_text()
    assert "canary-4711" not in recorded and emulator.token not in recorded


def test_a_fault_that_cannot_be_is_refused(emulator: Emulator) -> None:
    connection = http.client.HTTPConnection(
        emulator.url.removeprefix("http://"), timeout=60
    )
    headers = {"Authorization": f"Bearer {emulator.token}"}
    connection.request(
        "POST", "/emulator/faults", json.dumps({"kind": "melt"}), headers
    )
    answer = connection.getresponse()
    assert answer.status == 400 and b"must be one of status, drop" in answer.read()
    connection.close()


def test_what_is_not_emulated_names_itself(emulator: Emulator) -> None:
    status, body = get(emulator, "/api/2.0/sql/warehouses")
    assert status == 501
    assert json.loads(body) == {
        "error_code": "NOT_IMPLEMENTED",
        "message": (
            "The workspace emulator does not emulate GET /api/2.0/sql/warehouses;"
            " see utils/workspace_emulator/README.md"
        ),
    }
