"""Stores the tokens of the only user, and the permissions to use tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

from ..errors import invalid_parameter
from ..store import Document, Store
from ..tree import milliseconds
from . import errors

USER = "engineer@example.com"
LEVELS = {"CAN_USE": "Can use personal access tokens"}
OBJECT = {"object_id": "/authorization/tokens", "object_type": "tokens"}


class Identity:
    """Stores only the SHA-256 of each token, so that the state folder contains no
    token.
    """

    def __init__(
        self, store: Store, admin_token: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._tokens = store.collection("token")
        self._permissions = store.collection("token_permission")
        self._clock = clock
        for token_id, token in self._tokens.items():
            if token.get("admin"):
                del self._tokens[token_id]
        self._keep(
            "admin", admin_token, None, "given at the emulator's start", admin=True
        )
        if "users" not in self._permissions:
            self._permissions["users"] = {
                "group_name": "users",
                "permission_level": "CAN_USE",
            }

    def check(self, authorization: str | None) -> None:
        """Check that the Authorization header has a valid token. Raises ApiError."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, value = base64.b64decode(value).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise errors.no_credential() from None
            scheme = "bearer" if user == "token" else ""
        if scheme.lower() != "bearer" or not value:
            raise errors.no_credential()
        digest = _digest(value)
        for token in self._tokens.values():
            if secrets.compare_digest(token["sha256"], digest):
                if -1 < token["expiry_time"] <= milliseconds(self._clock()):
                    raise errors.expired_token()
                return
        raise errors.invalid_token()

    def me(self) -> dict[str, Any]:
        """Return the user in the SCIM format."""
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "1",
            "userName": USER,
            "displayName": "Engineer",
            "active": True,
            "emails": [{"type": "work", "value": USER, "primary": True}],
            "groups": [{"display": "users", "type": "direct", "value": "2"}],
        }

    def create(self, comment: str, lifetime: int | None) -> dict[str, Any]:
        """Create a token and return its value. Only this method returns the value.
        `lifetime` is in seconds.
        """
        if lifetime is not None and lifetime <= 0:
            raise invalid_parameter("lifetime_seconds must be positive")
        value = f"dapi{secrets.token_hex(16)}"
        token_id = secrets.token_hex(32)
        self._keep(token_id, value, lifetime, comment)
        return {"token_value": value, "token_info": self._info(token_id)}

    def tokens(self) -> list[dict[str, Any]]:
        """Return all tokens; the result contains no token values."""
        return [self._info(token_id) for token_id in self._tokens]

    def delete(self, token_id: str) -> None:
        """Revoke a token."""
        if token_id not in self._tokens:
            raise errors.no_token(token_id)
        del self._tokens[token_id]

    def levels(self) -> dict[str, Any]:
        """Return the permission levels."""
        pairs = [
            {"permission_level": level, "description": text}
            for level, text in LEVELS.items()
        ]
        return {"permission_levels": pairs}

    def permissions(self) -> dict[str, Any]:
        """Return the permissions to use tokens."""
        entries = []
        for entry in self._permissions.values():
            level = {
                "permission_level": entry.pop("permission_level"),
                "inherited": False,
            }
            entries.append({**entry, "all_permissions": [level]})
        return {**OBJECT, "access_control_list": entries}

    def permit(self, entries: list[dict[str, Any]], *, replace: bool) -> dict[str, Any]:
        """Allow principals to use tokens. If `replace` is true, the new permissions
        replace the existing permissions; otherwise the new permissions are added.
        """
        wanted: dict[str, Document] = {}
        for entry in entries:
            names = [
                name
                for name in ("user_name", "group_name", "service_principal_name")
                if isinstance(entry.get(name), str)
            ]
            if len(names) != 1 or entry.get("permission_level") not in LEVELS:
                raise invalid_parameter(
                    "an access_control_list entry must have one principal and one of"
                    f" {', '.join(LEVELS)}"
                )
            wanted[entry[names[0]]] = {
                names[0]: entry[names[0]],
                "permission_level": entry["permission_level"],
            }
        if replace:
            self._permissions.clear()
        self._permissions.update(wanted)
        return self.permissions()

    def _keep(
        self,
        token_id: str,
        value: str,
        lifetime: int | None,
        comment: str,
        admin: bool = False,
    ) -> None:
        now = milliseconds(self._clock())
        self._tokens[token_id] = {
            "sha256": _digest(value),
            "creation_time": now,
            "expiry_time": -1 if lifetime is None else now + lifetime * 1000,
            "comment": comment,
            "admin": admin,
        }

    def _info(self, token_id: str) -> dict[str, Any]:
        token = self._tokens[token_id]
        shown = ("creation_time", "expiry_time", "comment")
        return {"token_id": token_id, **{name: token[name] for name in shown}}


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
