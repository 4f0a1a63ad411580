"""Implements GitHub's documented rules that decide which jobs of a workflow run.

The rules are in docs.github.com, "Workflow syntax" (`on`, and the keys `needs` and `if`
of a job) and "Evaluate expressions" (status check functions, operators, literals):

- A workflow starts on the events in `on`. A push starts the workflow if the branch
  matches `branches`, or the tag matches `tags`.
- "A default status check of `success()` is applied unless you include one of these
  functions". So the condition of a job is `success() && (condition)`.
- "If a job fails or is skipped, all jobs that need it are skipped unless the jobs use a
  conditional expression that causes the job to continue. (...) a failure or skip
  applies to all jobs in the dependency chain from the point of failure or skip
  onwards". So `success()` is true if every ancestor succeeded, and `failure()` "returns
  `true` if any ancestor job fails".
- `cancelled()` "returns `true` if the workflow was canceled"; `always()` is true "even
  when canceled".
- The context `needs` contains only the directly needed jobs. Each of these jobs has a
  `result`: `success`, `failure`, `cancelled` or `skipped`. A property that does not
  exist is null.
- Strings are compared without regard to case. The result of `&&` and `||` is one of the
  operands.

Expressions with anything else raise ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import yaml

Contexts = Mapping[str, Any]
Status = Mapping[str, bool]
SUCCESS, FAILURE, CANCELLED, SKIPPED = "success", "failure", "cancelled", "skipped"
FUNCTIONS = ("success()", "failure()", "cancelled()", "always()")
TOKEN = re.compile(r"'(?:[^']|'')*'|&&|\|\||==|!=|[!()]|[A-Za-z_][\w.-]*(?:\(\))?")


@dataclass(frozen=True)
class Trigger:
    """An event, with the values that a workflow gets in the contexts `github` and
    `inputs`.
    """

    event: str
    ref: str = "refs/heads/main"
    inputs: Mapping[str, str] = field(default_factory=dict)
    fork: bool = False

    @property
    def ref_type(self) -> str:
        return "tag" if self.ref.startswith("refs/tags/") else "branch"

    @property
    def context(self) -> dict[str, Any]:
        github: dict[str, Any] = {
            "event_name": self.event,
            "ref": self.ref,
            "ref_type": self.ref_type,
        }
        if self.event == "pull_request":
            head = {"repo": {"fork": self.fork}}
            github["event"] = {"pull_request": {"head": head}}
        return {"github": github, "inputs": dict(self.inputs)}


def parse(text: str) -> dict[str, Any]:
    """Parse a workflow file. A parser of YAML 1.1 reads the key `on` as true; restore
    the key.
    """
    body: dict[Any, Any] = yaml.safe_load(text)
    if True in body:
        body["on"] = body.pop(True)
    return body


def starts(workflow: Mapping[str, Any], trigger: Trigger) -> bool:
    """Return whether the event starts the workflow."""
    if trigger.event not in workflow["on"]:
        return False
    if trigger.event != "push":
        return True
    filters = workflow["on"]["push"]
    name = trigger.ref.split("/", 2)[2]
    patterns = filters.get("tags" if trigger.ref_type == "tag" else "branches", ())
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def run(
    workflow: Mapping[str, Any],
    trigger: Trigger,
    outcomes: Mapping[str, str] | None = None,
    *,
    cancelled_at: str | None = None,
) -> dict[str, str]:
    """Return the result of each job.

    Args:
        outcomes: the results of jobs that run; the default is success.
        cancelled_at: the job during which a user cancels the whole workflow.
    """
    jobs: Mapping[str, Any] = workflow["jobs"] if starts(workflow, trigger) else {}
    ends = {**(outcomes or {}), **({cancelled_at: CANCELLED} if cancelled_at else {})}
    before = ancestors(jobs, cancelled_at) | {cancelled_at} if cancelled_at else set()
    results: dict[str, str] = {}
    for name in in_order(jobs):
        # Assume that all jobs would start later, except the canceled job and the jobs
        # that it needs.
        after = bool(cancelled_at) and name not in before
        chain = {results[each] for each in ancestors(jobs, name)}
        status = {
            "success()": not after and chain <= {SUCCESS},
            "failure()": FAILURE in chain,
            "cancelled()": after,
            "always()": True,
        }
        needs = {need: {"result": results[need]} for need in needs_of(jobs, name)}
        contexts = {**trigger.context, "needs": needs}
        started = holds(jobs[name].get("if"), contexts, status)
        results[name] = ends.get(name, SUCCESS) if started else SKIPPED
    return results


def ran(results: Mapping[str, str]) -> set[str]:
    """Return the jobs that GitHub has started."""
    return {name for name, result in results.items() if result != SKIPPED}


def needs_of(jobs: Mapping[str, Any], name: str) -> list[str]:
    needs = jobs[name].get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


def ancestors(jobs: Mapping[str, Any], name: str) -> set[str]:
    """Return the jobs that a job needs directly or indirectly."""
    direct = needs_of(jobs, name)
    return set(direct).union(*(ancestors(jobs, need) for need in direct))


def in_order(jobs: Mapping[str, Any]) -> list[str]:
    """Return the jobs in an order in which each job comes after the jobs that it
    needs.
    """
    return sorted(jobs, key=lambda name: (len(ancestors(jobs, name)), name))


def holds(text: object, contexts: Contexts, status: Status) -> bool:
    """Return whether a job's `if:` is true. `text` is None if the job has no `if:`."""
    condition = "success()" if text is None else str(text).strip()
    if isinstance(text, bool):
        condition = condition.lower()
    if condition.startswith("${{") and condition.endswith("}}"):
        condition = condition[3:-2]
    tokens = TOKEN.findall(condition)
    if "".join(tokens) != re.sub(r"('(?:[^']|'')*')|\s+", r"\1", condition):
        raise ValueError(f"not an expression that is known here: {condition}")
    if not any(token in FUNCTIONS for token in tokens):
        tokens = ["success()", "&&", "(", *tokens, ")"]
    parser = _Parser(tokens, contexts, status)
    value = parser.either()
    if parser.tokens:
        raise ValueError(f"{parser.tokens[0]!r} is left over: {condition}")
    return bool(value)


class _Parser:
    """Operator precedence from lowest to highest: `||`, `&&`, `==` and `!=`, `!`."""

    def __init__(self, tokens: list[str], contexts: Contexts, status: Status) -> None:
        self.tokens = list(tokens)
        self.contexts = contexts
        self.status = status

    def either(self) -> Any:
        value = self.both()
        while self._take("||"):
            other = self.both()
            value = value or other
        return value

    def both(self) -> Any:
        value = self.equality()
        while self._take("&&"):
            other = self.equality()
            value = value and other
        return value

    def equality(self) -> Any:
        value = self.unary()
        while self.tokens[:1] in (["=="], ["!="]):
            wanted = self.tokens.pop(0) == "=="
            value = _equal(value, self.unary()) is wanted
        return value

    def unary(self) -> Any:
        if self._take("!"):
            return not self.unary()
        return self._primary()

    def _primary(self) -> Any:
        token = self.tokens.pop(0)
        if token == "(":
            value = self.either()
            if not self._take(")"):
                raise ValueError("a parenthesis is not closed")
            return value
        literals: Mapping[str, Any] = {"true": True, "false": False, "null": None}
        known: Mapping[str, Any] = {**self.status, **literals}
        if token in known:
            return known[token]
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        return self._property(token)

    def _property(self, path: str) -> Any:
        context, *names = path.split(".")
        if context not in self.contexts or not names:
            raise ValueError(f"no context that is known here: {path}")
        value: Any = self.contexts[context]
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def _take(self, token: str) -> bool:
        found = self.tokens[:1] == [token]
        del self.tokens[: int(found)]
        return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    # GitHub converts both values to numbers: null and '' become 0, and all strings
    # except '' that are possible here become NaN.
    as_number: Callable[[Any], Any] = lambda value: "" if value is None else value
    return bool(as_number(one) == as_number(other))
