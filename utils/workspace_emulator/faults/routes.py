"""The admin routes below `/emulator`. Requests to these routes are not recorded, and
faults do not affect them.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from ..routing import Answer, Call, Route
from ..runtime.background import Background
from .record import Record
from .rules import Faults

ADMIN = "/emulator"


def routes(faults: Faults, record: Record, background: Background) -> list[Route]:
    def add(call: Call) -> Answer:
        return asdict(faults.add(call.fields))

    def list_(call: Call) -> Answer:
        return {"faults": faults.rules()}

    def clear(call: Call) -> Answer:
        faults.clear()
        return {}

    async def hit(call: Call) -> Answer:
        rule = faults.rule(int(call.match["id"]))
        reached = background.until(
            lambda: rule.holding > 0 if rule.kind == "hold" else rule.hit > 0
        )
        try:
            await asyncio.wait_for(reached, call.number("seconds", 30))
        except asyncio.TimeoutError:
            pass  # no request hit the fault, as the response shows
        return asdict(rule)

    def release(call: Call) -> Answer:
        faults.release(int(call.match["id"]))
        return {}

    def requests(call: Call) -> Answer:
        since = call.number("since", 0)
        return {
            "requests": [
                request for request in record.requests if request["number"] > since
            ]
        }

    def forget(call: Call) -> Answer:
        record.clear()
        return {}

    return [
        Route("POST", f"{ADMIN}/faults", add),
        Route("GET", f"{ADMIN}/faults", list_),
        Route("DELETE", f"{ADMIN}/faults", clear),
        Route("GET", f"{ADMIN}/faults/{{id:\\d+}}/hit", hit),
        Route("POST", f"{ADMIN}/faults/{{id:\\d+}}/release", release),
        Route("GET", f"{ADMIN}/requests", requests),
        Route("DELETE", f"{ADMIN}/requests", forget),
    ]
