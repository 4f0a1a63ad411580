from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError, MissingExtraError
from lakekit.storage.lake import Lake, find_lake
from lakekit.template.tables import TABLES


def test_embedded_engine_opens_a_folder(tmp_path: Path) -> None:
    with open_engine(
        "embedded", find_lake(tmp_path / "lake"), TABLES, tmp_path
    ) as engine:
        assert (
            engine.name == "embedded" and engine.head(TABLES["bronze.orders"]) is None
        )


def test_embedded_engine_keeps_no_schema_of_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(InvalidLakeError, match="main.flights") as caught:
        open_engine("embedded", Lake("schema", "main.flights"), TABLES, tmp_path)
    assert caught.value.next_step == "Add --engine spark."


@pytest.mark.parametrize(
    ("engine", "package", "module"),
    [
        ("embedded", "duckdb", "lakekit.engines.duckdb.engine"),
        ("spark", "delta", "lakekit.engines.spark.engine"),
    ],
)
def test_missing_package_is_told_with_its_extra(
    engine: str,
    package: str,
    module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(
        MissingExtraError, match=f"The package {package} is not installed"
    ) as caught:
        open_engine(engine, find_lake(tmp_path / "lake"), TABLES, tmp_path)
    assert (
        caught.value.next_step == f'pip install "lakekit[{engine}]"'
        and caught.value.exit_code == 3
    )
