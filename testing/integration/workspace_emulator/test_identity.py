"""Tests identity and tokens through the SDK."""

from __future__ import annotations

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service.settings import (
    TokenAccessControlRequest,
    TokenPermissionLevel,
)

from testing.integration.workspace_emulator.conftest import client
from workspace_emulator.launch import Emulator


def test_me_is_the_one_user(sdk: WorkspaceClient) -> None:
    me = sdk.current_user.me()
    assert me.user_name == "engineer@example.com" and me.active


def test_a_new_token_opens_the_workspace_until_it_is_revoked(
    emulator: Emulator, sdk: WorkspaceClient
) -> None:
    made = sdk.tokens.create(comment="release", lifetime_seconds=3600)
    assert made.token_value and made.token_info and made.token_info.token_id
    assert client(emulator.url, made.token_value).current_user.me().user_name
    assert made.token_info.token_id in [each.token_id for each in sdk.tokens.list()]
    sdk.tokens.delete(made.token_info.token_id)
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client(emulator.url, made.token_value).current_user.me()
    with pytest.raises(NotFound):
        sdk.tokens.delete(made.token_info.token_id)


def test_no_token_and_a_wrong_one_are_told_apart(emulator: Emulator) -> None:
    with pytest.raises(PermissionDenied):
        client(emulator.url, "dapi-wrong").current_user.me()
    anonymous = WorkspaceClient(
        host=emulator.url, username="x", password="y", auth_type="basic"
    )
    with pytest.raises(Unauthenticated):
        anonymous.current_user.me()


def test_permissions_on_tokens_are_kept(sdk: WorkspaceClient) -> None:
    levels = sdk.token_management.get_permission_levels().permission_levels or []
    assert [each.permission_level for each in levels] == [TokenPermissionLevel.CAN_USE]
    robot = TokenAccessControlRequest(
        service_principal_name="robot", permission_level=TokenPermissionLevel.CAN_USE
    )
    sdk.token_management.update_permissions(access_control_list=[robot])
    listed = sdk.token_management.get_permissions().access_control_list or []
    assert {each.group_name or each.service_principal_name for each in listed} == {
        "users",
        "robot",
    }
    sdk.token_management.set_permissions(access_control_list=[robot])
    listed = sdk.token_management.get_permissions().access_control_list or []
    assert [each.service_principal_name for each in listed] == ["robot"]
