"""Tests that the settings in pyproject.toml list all layers of lakekit's code."""

from __future__ import annotations

from pathlib import Path

from lakekit.declarations.tables import LAYERS

SETTINGS = Path(__file__).parents[4] / "pyproject.toml"


def test_terraform_knows_each_layer() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    _, _, table = text.partition("[tool.lake_ci.terraform]\n")
    names = ", ".join(f'"{layer}"' for layer in LAYERS)
    assert table.splitlines()[0] == f"layers = [{names}]"
