from __future__ import annotations

import base64

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.identity.state import Identity
from workspace_emulator.store import Store


def test_a_token_is_good_until_its_time(store: Store) -> None:
    now = 1000.0
    identity = Identity(store, "admin", clock=lambda: now)
    value = identity.create("short", 60)["token_value"]
    identity.check(f"Bearer {value}")
    identity.check("Basic " + base64.b64encode(f"token:{value}".encode()).decode())
    now += 61
    with pytest.raises(ApiError, match="expired"):
        identity.check(f"Bearer {value}")
    identity.check("Bearer admin")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer ", "Digest x", "Basic !", "Basic eDp5"]
)
def test_without_a_token_nobody_is_known(store: Store, header: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        Identity(store, "admin").check(header)
    assert refused.value.status == 401


def test_no_value_of_a_token_is_kept(store: Store) -> None:
    identity = Identity(store, "admin")
    value = identity.create("", None)["token_value"]
    assert value not in str(list(store.collection("token").values()))


def test_the_token_of_an_earlier_start_is_no_longer_good(store: Store) -> None:
    Identity(store, "old")
    with pytest.raises(ApiError, match="Invalid access token"):
        Identity(store, "new").check("Bearer old")


def test_a_permission_names_one_principal(store: Store) -> None:
    with pytest.raises(ApiError, match="must have one principal"):
        Identity(store, "admin").permit(
            [{"permission_level": "CAN_USE"}], replace=False
        )
