"""Delays queries while the file /hold/armed exists. A test mounts this module into a
container of the image `api`.

The delay ensures that a request is pending when SIGTERM arrives. The image needs no
change, because every Python process imports a module with this name when it starts.
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
        """Report that a query is pending, and wait until the query may continue."""
        if ARMED.exists():
            HELD.touch()
            while ARMED.exists():
                await asyncio.sleep(ASK_SECONDS)
        return await query(self, *arguments, **named)

    Store.query = held  # type: ignore[method-assign] # this is what the module is for
