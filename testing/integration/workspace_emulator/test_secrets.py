"""Tests secrets through databricks-cli and the SDK."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, ResourceAlreadyExists
from databricks.sdk.service.workspace import AclPermission


def test_cli_makes_a_scope_and_keeps_a_secret(
    cli: Callable[..., SimpleNamespace], sdk: WorkspaceClient
) -> None:
    assert cli("secrets", "create-scope", "--scope", "cli").code == 0
    assert (
        cli(
            "secrets", "put", "--scope", "cli", "--key", "k", "--string-value", "v"
        ).code
        == 0
    )
    assert "k" in cli("secrets", "list", "--scope", "cli").out
    assert base64.b64decode(sdk.secrets.get_secret("cli", "k").value or "") == b"v"
    again = cli("secrets", "create-scope", "--scope", "cli")
    assert again.code == 1 and "RESOURCE_ALREADY_EXISTS" in again.out


def test_a_secret_is_kept_replaced_and_removed(sdk: WorkspaceClient) -> None:
    sdk.secrets.create_scope("store")
    assert "store" in [each.name for each in sdk.secrets.list_scopes()]
    sdk.secrets.put_secret("store", "key", string_value="one")
    sdk.secrets.put_secret(
        "store", "key", bytes_value=base64.b64encode(b"two").decode()
    )
    assert (
        base64.b64decode(sdk.secrets.get_secret("store", "key").value or "") == b"two"
    )
    assert [each.key for each in sdk.secrets.list_secrets("store")] == ["key"]
    sdk.secrets.delete_secret("store", "key")
    with pytest.raises(NotFound):
        sdk.secrets.get_secret("store", "key")
    sdk.secrets.delete_scope("store")
    with pytest.raises(NotFound):
        list(sdk.secrets.list_secrets("store"))


def test_who_may_read_is_kept(sdk: WorkspaceClient) -> None:
    sdk.secrets.create_scope("shared")
    with pytest.raises(ResourceAlreadyExists):
        sdk.secrets.create_scope("shared")
    sdk.secrets.put_acl("shared", "users", AclPermission.READ)
    assert sdk.secrets.get_acl("shared", "users").permission is AclPermission.READ
    assert {each.principal for each in sdk.secrets.list_acls("shared")} == {
        "engineer@example.com",
        "users",
    }
    sdk.secrets.delete_acl("shared", "users")
    with pytest.raises(NotFound):
        sdk.secrets.get_acl("shared", "users")
    with pytest.raises(BadRequest, match="Invalid scope name"):
        sdk.secrets.create_scope("no/slash")
