"""Routes for identity, tokens and permissions."""

from __future__ import annotations

from ..routing import Answer, Call, Route
from .state import Identity


def routes(identity: Identity) -> list[Route]:
    def me(call: Call) -> Answer:
        return identity.me()

    def create(call: Call) -> Answer:
        lifetime = (
            call.number("lifetime_seconds")
            if "lifetime_seconds" in call.fields
            else None
        )
        return identity.create(call.text("comment", ""), lifetime)

    def list_(call: Call) -> Answer:
        return {"token_infos": identity.tokens()}

    def delete(call: Call) -> Answer:
        identity.delete(call.text("token_id"))
        return {}

    def permissions(call: Call) -> Answer:
        return identity.permissions()

    def levels(call: Call) -> Answer:
        return identity.levels()

    def set_permissions(call: Call) -> Answer:
        return identity.permit(call.items("access_control_list"), replace=True)

    def update_permissions(call: Call) -> Answer:
        return identity.permit(call.items("access_control_list"), replace=False)

    allowed = "/api/2.0/permissions/authorization/tokens"
    return [
        Route("GET", "/api/2.0/preview/scim/v2/Me", me),
        Route("POST", "/api/2.0/token/create", create),
        Route("GET", "/api/2.0/token/list", list_),
        Route("POST", "/api/2.0/token/delete", delete),
        Route("GET", allowed, permissions),
        Route("PUT", allowed, set_permissions),
        Route("PATCH", allowed, update_permissions),
        Route("GET", f"{allowed}/permissionLevels", levels),
    ]
