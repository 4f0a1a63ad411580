"""Defines fault rules. A rule states which requests fail, how, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from ..errors import ApiError, invalid_parameter
from ..runtime.background import Background

KINDS = ("status", "drop", "truncate", "slow", "hold", "state", "expired-token")
AFTER_ONLY = ("truncate", "state")


@dataclass
class Rule:
    """A fault that affects all requests that match `method` and `path`. `*` matches any
    text, including `/`.

    Attributes:
        kind: `status` returns an error status. `drop` resets the connection. `truncate`
            closes the connection in the middle of the response. `slow` waits `seconds`.
            `hold` waits until the fault is released or the client disconnects. `state`
            overwrites fields everywhere in the response; the value null removes a
            field. `expired-token` returns the error for an expired token.
        when: whether the fault occurs `before` or `after` the request is handled. With
            `before`, the request is handled only if the kind is `slow` or `hold`.
        skip: the number of matching requests that succeed before the first fault.
        count: the number of requests that fail after the skipped requests. None means
            all.
        status: for the kind `status`: the HTTP status of the error response, which also
            contains `error_code`, `message` and `headers`.
        seconds: how long the request waits if the kind is `slow`.
        fields: the new values by field name if the kind is `state`.
        seen: the number of matching requests so far.
        hit: the number of requests so far in which the fault occurred.
        holding: the number of requests that are waiting now.
    """

    kind: str
    method: str = "*"
    path: str = "*"
    when: str = "before"
    skip: int = 0
    count: int | None = 1
    status: int = 503
    error_code: str = "TEMPORARILY_UNAVAILABLE"
    message: str = "The service is temporarily unavailable (injected fault)."
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    fields: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    seen: int = 0
    hit: int = 0
    holding: int = 0
    released: bool = False

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and fnmatchcase(path, self.path)


ORDERED = {each.name for each in fields(Rule)} - {
    "id",
    "seen",
    "hit",
    "holding",
    "released",
}


class Faults:
    """The rules in the order of their creation. A rule skips the first `skip` matching
    requests, and then applies to the next `count` matching requests. If several rules
    apply to a request, the first rule is used.
    """

    def __init__(self, background: Background) -> None:
        self._rules: dict[int, Rule] = {}
        self._background = background
        self._given = 0

    def add(self, wanted: Mapping[str, Any]) -> Rule:
        """Add a fault. Raises ApiError if the rule has an unknown field, kind or
        `when`.
        """
        unknown = sorted(set(wanted) - ORDERED)
        if unknown:
            raise invalid_parameter(
                f"a fault has no field {', '.join(unknown)}; the fields are:"
                f" {', '.join(sorted(ORDERED))}"
            )
        if wanted.get("kind") not in KINDS:
            raise invalid_parameter(
                f"the kind of a fault must be one of {', '.join(KINDS)}, not"
                f" {wanted.get('kind')!r}"
            )
        rule = Rule(**wanted)
        if rule.kind in AFTER_ONLY:
            rule.when = "after"
        if rule.when not in ("before", "after"):
            raise invalid_parameter(
                f"`when` of a fault must be before or after, not {rule.when!r}"
            )
        self._given += 1
        rule.id = self._given
        self._rules[rule.id] = rule
        return rule

    def hit(self, method: str, path: str) -> Rule | None:
        """Count a request, and return the fault that applies to the request. Returns
        None if no rule applies.
        """
        for rule in self._rules.values():
            if not rule.matches(method, path):
                continue
            rule.seen += 1
            if rule.seen > rule.skip and (rule.count is None or rule.hit < rule.count):
                rule.hit += 1
                self._background.changed()
                return rule
        return None

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their counts."""
        return [asdict(rule) for rule in self._rules.values()]

    def clear(self) -> None:
        """Delete all rules and release held requests."""
        for rule in self._rules.values():
            rule.released = True
        self._rules.clear()
        self._background.changed()

    def release(self, rule_id: int) -> None:
        """Release the requests that a rule holds now, and do not hold later
        requests.
        """
        self.rule(rule_id).released = True
        self._background.changed()

    def rule(self, rule_id: int) -> Rule:
        if rule_id not in self._rules:
            raise ApiError(
                404, "RESOURCE_DOES_NOT_EXIST", f"There is no fault {rule_id}"
            )
        return self._rules[rule_id]


def overwritten(value: Any, new: Mapping[str, Any]) -> Any:
    """Return a JSON value with new values for all fields with these names, at any
    depth. A field is removed if its new value is None.
    """
    if isinstance(value, list):
        return [overwritten(each, new) for each in value]
    if not isinstance(value, dict):
        return value
    remaining = {
        name: each
        for name, each in value.items()
        if name not in new or new[name] is not None
    }
    return {
        name: new[name] if name in new else overwritten(each, new)
        for name, each in remaining.items()
    }
