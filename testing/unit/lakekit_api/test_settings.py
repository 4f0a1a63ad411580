from __future__ import annotations

from lakekit_api import settings


def test_every_setting_has_a_variable_and_a_meaning() -> None:
    said = settings.variables()
    assert set(said) == {f"LAKEKIT_API_{f.name.upper()}" for f in settings.fields()} | {
        "LAKEKIT_API_TOKENS"
    }
    assert all(meaning.endswith(".") for meaning in said.values())


def test_misspelt_variable_is_found_and_others_are_left_alone() -> None:
    environment = {
        "LAKEKIT_API_LAKE": "x",
        "LAKEKIT_API_LAEK": "x",
        "LAKEKIT_API_TOKENS": "x",
        "LAKEKIT_LAKE": "x",
    }
    assert settings.unknown(environment) == ["LAKEKIT_API_LAEK"]
