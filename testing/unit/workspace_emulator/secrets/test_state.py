from __future__ import annotations

import pytest

from workspace_emulator.errors import ApiError
from workspace_emulator.secrets.state import REFERENCE, Secrets
from workspace_emulator.store import Store


def test_a_scope_belongs_to_who_made_it(store: Store) -> None:
    secrets = Secrets(store)
    secrets.create_scope("s", "me")
    assert secrets.acls("s") == [{"principal": "me", "permission": "MANAGE"}]
    with pytest.raises(ApiError, match="permission must be one of READ"):
        secrets.put_acl("s", "you", "ALL")
    with pytest.raises(ApiError, match="Invalid secret key"):
        secrets.put("s", "a/b", "eA==")


def test_a_listing_names_no_value(store: Store) -> None:
    secrets = Secrets(store)
    secrets.create_scope("s", "me")
    secrets.put("s", "k", "Y2FuYXJ5")
    assert (
        "Y2FuYXJ5" not in str(secrets.keys("s")) and secrets.get("s", "k") == "Y2FuYXJ5"
    )


def test_a_variable_refers_to_a_secret_by_scope_and_key() -> None:
    match = REFERENCE.fullmatch("{{secrets/my-scope/my.key}}")
    assert match and match.groups() == ("my-scope", "my.key")
