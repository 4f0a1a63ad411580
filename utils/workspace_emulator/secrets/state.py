"""Stores secret scopes and their access lists. Access lists are not enforced, because
there is only one user.
"""

from __future__ import annotations

import re
import time

from ..errors import invalid_parameter
from ..store import Document, Store
from ..tree import milliseconds
from . import errors

NAME = re.compile(r"[\w@.-]{1,128}")
PERMISSIONS = ("READ", "WRITE", "MANAGE")
REFERENCE = re.compile(r"\{\{secrets/([^/{}]+)/([^/{}]+)\}\}")


class Secrets:
    """The values of secrets; a secret has a scope and a key."""

    def __init__(self, store: Store) -> None:
        self._scopes = store.collection("secret_scope")

    def create_scope(self, scope: str, owner: str) -> None:
        """Create a scope. The owner of the scope gets the permission MANAGE. Raises
        ApiError if the scope already exists.
        """
        if not NAME.fullmatch(scope):
            raise invalid_parameter(f"Invalid scope name: {scope!r}")
        if scope in self._scopes:
            raise errors.scope_exists(scope)
        self._scopes[scope] = {"secrets": {}, "acls": {owner: "MANAGE"}}

    def delete_scope(self, scope: str) -> None:
        """Delete a scope and its secrets."""
        self._scope(scope)
        del self._scopes[scope]

    def scopes(self) -> list[Document]:
        """Return all scopes."""
        return [{"name": name, "backend_type": "DATABRICKS"} for name in self._scopes]

    def put(self, scope: str, key: str, value: str) -> None:
        """Store a value as base64. An existing value of the secret is replaced."""
        if not NAME.fullmatch(key):
            raise invalid_parameter(f"Invalid secret key: {key!r}")
        document = self._scope(scope)
        document["secrets"][key] = {
            "value": value,
            "last_updated_timestamp": milliseconds(time.time()),
        }
        self._scopes[scope] = document

    def get(self, scope: str, key: str) -> str:
        """Return a value as base64."""
        found = self._scope(scope)["secrets"]
        if key not in found:
            raise errors.no_secret(scope, key)
        return str(found[key]["value"])

    def delete(self, scope: str, key: str) -> None:
        """Delete a secret."""
        self.get(scope, key)
        document = self._scope(scope)
        del document["secrets"][key]
        self._scopes[scope] = document

    def keys(self, scope: str) -> list[Document]:
        """Return the keys of a scope, but no values."""
        found = self._scope(scope)["secrets"]
        return [
            {"key": key, "last_updated_timestamp": secret["last_updated_timestamp"]}
            for key, secret in sorted(found.items())
        ]

    def put_acl(self, scope: str, principal: str, permission: str) -> None:
        """Set the permission of a principal."""
        if permission not in PERMISSIONS:
            raise invalid_parameter(
                f"permission must be one of {', '.join(PERMISSIONS)}, not"
                f" {permission!r}"
            )
        document = self._scope(scope)
        document["acls"][principal] = permission
        self._scopes[scope] = document

    def acl(self, scope: str, principal: str) -> Document:
        """Return the permission of a principal."""
        acls = self._scope(scope)["acls"]
        if principal not in acls:
            raise errors.no_acl(scope, principal)
        return {"principal": principal, "permission": acls[principal]}

    def acls(self, scope: str) -> list[Document]:
        """Return the permissions of all principals."""
        return [self.acl(scope, principal) for principal in self._scope(scope)["acls"]]

    def delete_acl(self, scope: str, principal: str) -> None:
        """Delete the permission of a principal."""
        self.acl(scope, principal)
        document = self._scope(scope)
        del document["acls"][principal]
        self._scopes[scope] = document

    def _scope(self, scope: str) -> Document:
        if scope not in self._scopes:
            raise errors.no_scope(scope)
        return self._scopes[scope]
