"""The requests to the secret store."""

from __future__ import annotations

import base64

from workspace_emulator.dbfs.routes import decoded
from workspace_emulator.routing import Answer, Call, Route
from workspace_emulator.secrets.state import Secrets


def routes(secrets: Secrets, owner: str) -> list[Route]:
    def create_scope(call: Call) -> Answer:
        secrets.create_scope(call.text("scope"), call.text("initial_manage_principal", "") or owner)
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
        secrets.put(call.text("scope"), call.text("key"), base64.b64encode(value).decode())
        return {}

    def get(call: Call) -> Answer:
        scope, key = call.text("scope"), call.text("key")
        return {"key": key, "value": secrets.get(scope, key)}

    def delete(call: Call) -> Answer:
        secrets.delete(call.text("scope"), call.text("key"))
        return {}

    def list_(call: Call) -> Answer:
        return {"secrets": secrets.list(call.text("scope"))}

    def put_acl(call: Call) -> Answer:
        secrets.put_acl(call.text("scope"), call.text("principal"), call.text("permission"))
        return {}

    def get_acl(call: Call) -> Answer:
        return secrets.acl(call.text("scope"), call.text("principal"))

    def list_acls(call: Call) -> Answer:
        return {"items": secrets.acls(call.text("scope"))}

    def delete_acl(call: Call) -> Answer:
        secrets.delete_acl(call.text("scope"), call.text("principal"))
        return {}

    base = "/api/2.0/secrets"
    return [
        Route("POST", f"{base}/scopes/create", create_scope),
        Route("POST", f"{base}/scopes/delete", delete_scope),
        Route("GET", f"{base}/scopes/list", list_scopes),
        Route("POST", f"{base}/put", put),
        Route("GET", f"{base}/get", get),
        Route("POST", f"{base}/delete", delete),
        Route("GET", f"{base}/list", list_),
        Route("POST", f"{base}/acls/put", put_acl),
        Route("GET", f"{base}/acls/get", get_acl),
        Route("GET", f"{base}/acls/list", list_acls),
        Route("POST", f"{base}/acls/delete", delete_acl),
    ]
