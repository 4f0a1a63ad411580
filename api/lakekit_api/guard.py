"""Checks the token of each request for data, in a FastAPI dependency."""

from __future__ import annotations

import datetime
from typing import Annotated, Awaitable, Callable, Optional

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from lakekit_api.errors import ProblemError
from lakekit_api.keyring import Keyring
from lakekit_api.tokens import UTC, find

REALM = 'Bearer realm="lakekit"'
BEARER = HTTPBearer(
    auto_error=False, description="A token that `lakekit-api token` created."
)
Given = Annotated[Optional[HTTPAuthorizationCredentials], Security(BEARER)]


def guard(keyring: Keyring) -> Callable[..., Awaitable[None]]:
    """Return a FastAPI dependency that checks the token of each request. The token must
    allow all tables in the endpoint's scopes.
    """

    async def check(request: Request, scopes: SecurityScopes, given: Given) -> None:
        if given is None:
            raise ProblemError(
                401,
                "Send a token: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": REALM},
            )
        token = find(keyring.tokens, given.credentials)
        if token is None:
            headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            raise ProblemError(401, "The service does not know this token.", headers)
        if token.expired(datetime.datetime.now(UTC)):
            headers = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            raise ProblemError(401, "The token has expired.", headers)
        request.state.client = token.name
        request.state.token = token
        for table in scopes.scopes:
            if not token.opens(table):
                headers = {
                    "WWW-Authenticate": (
                        f'{REALM}, error="insufficient_scope", scope="{table}"'
                    )
                }
                raise ProblemError(403, f"The token does not allow {table}.", headers)

    return check
