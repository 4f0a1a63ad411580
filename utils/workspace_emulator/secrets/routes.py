"""Routes of the secrets API."""

from __future__ import annotations

import base64

from ..dbfs.routes import decoded
from ..routing import Answer, Call, Route
from .state import Secrets

BASE = "/api/2.0/secrets"


def routes(secrets: Secrets, owner: str) -> list[Route]:
    return [*_scopes(secrets, owner), *_acls(secrets)]


def _scopes(secrets: Secrets, owner: str) -> list[Route]:
    def create_scope(call: Call) -> Answer:
        secrets.create_scope(
            call.text("scope"), call.text("initial_manage_principal", "") or owner
        )
        return {}

    def delete_scope(call: Call) -> Answer:
        secrets.delete_scope(call.text("scope"))
        return {}

    def list_scopes(call: Call) -> Answer:
        return {"scopes": secrets.scopes()}

    def put(call: Call) -> Answer:
        if "bytes_value" in call.fields:
            value = decoded("bytes_value", call.text("bytes_value"))
        else:
            value = call.text("string_value").encode()
        secrets.put(
            call.text("scope"), call.text("key"), base64.b64encode(value).decode()
        )
        return {}

    def get(call: Call) -> Answer:
        scope, key = call.text("scope"), call.text("key")
        return {"key": key, "value": secrets.get(scope, key)}

    def delete(call: Call) -> Answer:
        secrets.delete(call.text("scope"), call.text("key"))
        return {}

    def list_(call: Call) -> Answer:
        return {"secrets": secrets.keys(call.text("scope"))}

    return [
        Route("POST", f"{BASE}/scopes/create", create_scope),
        Route("POST", f"{BASE}/scopes/delete", delete_scope),
        Route("GET", f"{BASE}/scopes/list", list_scopes),
        Route("POST", f"{BASE}/put", put),
        Route("GET", f"{BASE}/get", get),
        Route("POST", f"{BASE}/delete", delete),
        Route("GET", f"{BASE}/list", list_),
    ]


def _acls(secrets: Secrets) -> list[Route]:
    def put_acl(call: Call) -> Answer:
        secrets.put_acl(
            call.text("scope"), call.text("principal"), call.text("permission")
        )
        return {}

    def get_acl(call: Call) -> Answer:
        return secrets.acl(call.text("scope"), call.text("principal"))

    def list_acls(call: Call) -> Answer:
        return {"items": secrets.acls(call.text("scope"))}

    def delete_acl(call: Call) -> Answer:
        secrets.delete_acl(call.text("scope"), call.text("principal"))
        return {}

    return [
        Route("POST", f"{BASE}/acls/put", put_acl),
        Route("GET", f"{BASE}/acls/get", get_acl),
        Route("GET", f"{BASE}/acls/list", list_acls),
        Route("POST", f"{BASE}/acls/delete", delete_acl),
    ]
