from __future__ import annotations

import hmac
from typing import Any, List

import pytest

from lakekit_api import tokens
from lakekit_api.errors import StartupError

NAMES = ["gold.trips", "gold.other"]


def test_made_token_is_found_by_its_line() -> None:
    secret, token = tokens.make("me", ["gold.trips"])
    text = f"# ours\n\n{token.line()}  # until spring\n"
    read = tokens.read(text, "tokens.txt", NAMES)
    assert read == (token,) and secret not in token.line()
    assert tokens.find(read, secret) == token
    assert tokens.find(read, secret + "x") is None
    assert tokens.find(read, "\udcff") is None


def test_lines_of_a_variable_are_separated_by_semicolons() -> None:
    lines = [tokens.make(name, ["*"])[1] for name in ("a", "b")]
    assert tokens.read(
        ";".join(each.line() for each in lines), "LAKEKIT_API_TOKENS", NAMES
    ) == tuple(lines)


def test_scopes_open_named_tables_or_all() -> None:
    assert tokens.make("a", ["*"])[1].opens("gold.other")
    one = tokens.make("a", ["gold.trips"])[1]
    assert one.opens("gold.trips") and not one.opens("gold.other")


def test_no_two_tokens_are_alike() -> None:
    secrets = {tokens.make("a", ["*"])[0] for _ in range(100)}
    assert len(secrets) == 100 and min(map(len, secrets)) >= 43


def test_every_hash_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [tokens.make("a", ["*"]) for _ in range(3)]
    compared: List[Any] = []
    compare = hmac.compare_digest

    def record(one: Any, other: Any) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", record)
    known = [token for _, token in made]
    assert tokens.find(known, made[0][0]) == known[0]
    assert compared == [token.digest for token in known]


@pytest.mark.parametrize(
    "line",
    [
        "me gold.trips",
        "me gold.trips sha256:abc",
        "gold.trips sha256:" + "a" * 64,
        "x" * 99,
    ],
)
def test_line_that_is_none_is_named_by_number_and_not_shown(line: str) -> None:
    with pytest.raises(
        StartupError, match=r"^tokens.txt, line 2 does not have the form NAME TABLES"
    ) as caught:
        tokens.read(f"\n{line}", "tokens.txt", NAMES)
    assert line not in str(caught.value)


def test_scope_that_no_table_has_is_refused_with_the_nearest() -> None:
    line = tokens.make("me", ["gold.trip"])[1].line()
    with pytest.raises(
        StartupError, match="line 1: there is no table gold.trip"
    ) as caught:
        tokens.read(line, "tokens.txt", NAMES)
    assert caught.value.next_step == "Did you mean gold.trips?"


def test_name_that_a_line_cannot_hold_is_refused() -> None:
    with pytest.raises(StartupError, match="'a b' is not a valid token name"):
        tokens.make("a b", ["*"])
