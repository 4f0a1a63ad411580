"""Tests that problems of an image's configuration and contents are found."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.checks.docker import contents

SOUND: dict[str, Any] = {
    "User": "10001:10001",
    "Labels": dict.fromkeys(contents.LABELS, "a text"),
    "Entrypoint": ["dumb-init", "--", "lakekit"],
    "StopSignal": "SIGTERM",
    "Healthcheck": {"Test": ["NONE"]},
}


def rules(target: str = "prod", **changed: Any) -> list[str]:
    return [
        rule
        for rule, _ in contents.configuration_problems({**SOUND, **changed}, target)
    ]


def test_sound_image_is_not_objected_to() -> None:
    assert rules() == []
    assert (
        rules("api", Healthcheck={"Test": ["CMD", "python", "/opt/healthy.py"]}) == []
    )


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "lake"])
def test_user_that_may_be_root_is_named(user: str) -> None:
    assert rules(User=user) == ["user"]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"Entrypoint": ["lakekit"]}, "init"),
        ({"Entrypoint": None}, "init"),
        ({"StopSignal": None}, "signal"),
        ({"Healthcheck": None}, "health"),
    ],
)
def test_what_is_missing_is_named(changed: dict[str, Any], rule: str) -> None:
    assert rules(**changed) == [rule]


def test_each_missing_label_is_named() -> None:
    assert rules(Labels=None) == ["label"] * len(contents.LABELS)


@pytest.mark.parametrize("test", [["NONE"], ["CMD-SHELL", "curl localhost"]])
def test_service_needs_a_health_check_of_its_own(test: list[str]) -> None:
    assert rules("api", Healthcheck={"Test": test}) == ["health"]
    assert rules("prod", Healthcheck={"Test": ["NONE"]}) == []


INSIDE: dict[str, Any] = {
    "packages": {"pond": "1.0", "sqlglot": "30.0"},
    "setuid": [],
    "tools": [],
    "unneeded": [],
}


def misplaced(target: str = "prod", **changed: Any) -> list[str]:
    inside = {**INSIDE, **changed}
    return [rule for rule, _ in contents.misplaced(inside, target, "pond")]


def test_image_without_the_package_it_is_for_is_named() -> None:
    assert misplaced() == []
    assert misplaced(packages={"sqlglot": "30.0"}) == ["package"]
    assert list(contents.misplaced({**INSIDE, "packages": {}}, "dev", None)) == []


def test_only_the_image_to_work_in_may_hold_tools() -> None:
    assert (
        misplaced(tools=["/usr/bin/git"], unneeded=["/src/tests"]) == ["unneeded"] * 2
    )
    assert misplaced("dev", tools=["/usr/bin/git"]) == []
    assert misplaced("dev", setuid=["/opt/su"]) == ["setuid"]
