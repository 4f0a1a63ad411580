"""Mounted into the image `api` by `nox -s docker`: a query waits for as long as the
file /hold/armed is there.

So a request is surely in hand when SIGTERM comes, in the service as it is, under its
own init. Python imports a module of this name at its start; all else in the image is as
it was built.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

ARMED, HELD = Path("/hold/armed"), Path("/hold/held")
ASK_SECONDS = 0.02

if any(argument.endswith("/lakekit-api") for argument in sys.orig_argv):
    from lakekit_api.store import Store

    query = Store.query

    async def held(self: Store, *arguments: Any, **named: Any) -> Any:
        """Say that a query is in hand, and wait until it may go on."""
        if ARMED.exists():
            HELD.touch()
            while ARMED.exists():
                await asyncio.sleep(ASK_SECONDS)
        return await query(self, *arguments, **named)

    Store.query = held  # type: ignore[method-assign] # this is what the module is for
