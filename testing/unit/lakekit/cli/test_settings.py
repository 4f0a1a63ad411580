from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest

from lakekit.cli.settings import SETTINGS, Settings, read_settings, settings_here
from lakekit.errors import SettingsError
from lakekit.nyc_flights.tables import TABLES
from lakekit.storage.lake import find_lake


def test_flag_comes_before_environment_before_file(tmp_path: Path) -> None:
    (tmp_path / "lakekit.toml").write_text(
        'lake = "of-file"\nsource = "of-file"\nmemory = "1GB"\n'
    )
    environment = {
        "LAKEKIT_LAKE": "of-environment",
        "LAKEKIT_SOURCE": "of-environment",
        "HOME": "/",
    }
    found = read_settings({"lake": "of-flag", "source": None}, environment, tmp_path)
    assert (found.lake, found.source, found.memory) == (
        "of-flag",
        "of-environment",
        "1GB",
    )
    assert found.engine == "embedded"


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    text = 'source = "data"\nlake = "lake"\ntables = "tables.py"\n'
    (tmp_path / "lakekit.toml").write_text(text)
    found = read_settings({}, {}, tmp_path)
    assert (found.source, found.lake) == (
        str(tmp_path / "data"),
        str(tmp_path / "lake"),
    )
    assert found.tables == str(tmp_path / "tables.py")


@pytest.mark.parametrize("lake", ["s3://bucket/lake", "main.flights"])
def test_lake_that_is_no_folder_is_left_as_it_is(lake: str, tmp_path: Path) -> None:
    (tmp_path / "lakekit.toml").write_text(
        f'lake = "{lake}"\ntables = "lakekit.nyc_flights.tables"\n'
    )
    found = read_settings({}, {}, tmp_path)
    assert (found.lake, found.tables) == (lake, "lakekit.nyc_flights.tables")


def test_spark_is_the_engine_on_databricks_unless_something_says_otherwise(
    tmp_path: Path,
) -> None:
    cluster = {"DATABRICKS_RUNTIME_VERSION": "15.4"}
    assert read_settings({}, cluster, tmp_path).engine == "spark"
    assert (
        read_settings({}, {**cluster, "LAKEKIT_ENGINE": "embedded"}, tmp_path).engine
        == "embedded"
    )


@pytest.mark.parametrize(
    ("text", "environment", "what", "next_step"),
    [
        ('sorce = "data"', {}, "no setting sorce", "Did you mean source?"),
        ("", {"LAKEKIT_ENGIN": "spark"}, "LAKEKIT_ENGIN", "Did you mean engine?"),
        ('engine = "flink"', {}, "no engine flink", "embedded"),
        ("memory = 2", {}, "memory in .*.toml is not a text: 2", 'memory = "..."'),
        ("lake = ", {}, "lakekit.toml cannot be read", "Correct "),
    ],
)
def test_unknown_name_or_wrong_value_is_refused(
    text: str, environment: Dict[str, str], what: str, next_step: str, tmp_path: Path
) -> None:
    (tmp_path / "lakekit.toml").write_text(text)
    with pytest.raises(SettingsError, match=what) as caught:
        read_settings({}, environment, tmp_path)
    assert next_step in caught.value.next_step and caught.value.exit_code == 2


def test_settings_of_the_service_are_not_those_of_commands(tmp_path: Path) -> None:
    assert (
        read_settings({}, {"LAKEKIT_API_PORT": "1", "LAKEKIT_JARS": "x"}, tmp_path)
        == Settings()
    )


def test_missing_setting_names_all_three_places() -> None:
    with pytest.raises(SettingsError, match="The setting lake is missing") as caught:
        Settings().required("lake")
    for place in ("--lake", "LAKEKIT_LAKE", "lakekit.toml"):
        assert place in caught.value.next_step
    assert Settings(lake="x").required("lake") == "x"


def test_every_setting_is_described() -> None:
    assert set(SETTINGS) == set(vars(Settings()))


def test_tables_are_the_flights_or_those_of_a_file_or_a_module(tmp_path: Path) -> None:
    assert Settings().table_set() is TABLES
    assert Settings(tables="lakekit.nyc_flights.tables").table_set() is TABLES
    file = tmp_path / "own.py"
    file.write_text("from lakekit.template.tables import TABLES\n")
    assert [table.name for table in Settings(tables=str(file)).table_set()][
        -1
    ] == "gold.sales_by_day"


@pytest.mark.parametrize("text", ["TABLES = 1", "import nothing_there", "def"])
def test_file_without_tables_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(SettingsError, match="own.py") as caught:
        Settings(tables=str(tmp_path / "own.py")).table_set()
    assert "TABLES" in caught.value.next_step


def test_tables_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings(tables=str(tmp_path / "none.py")).table_set()


def test_file_is_looked_for_where_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lakekit.toml").write_text('memory = "3GB"')
    monkeypatch.chdir(tmp_path)
    assert settings_here({}).memory == "3GB"


def test_file_is_found_in_a_folder_above(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "lakekit.toml").write_text('lake = "lake"')
    assert read_settings({}, {}, inner).lake == str(tmp_path / "lake")
    (tmp_path / "a" / "lakekit.toml").write_text('lake = "other"')
    assert read_settings({}, {}, inner).lake == str(tmp_path / "a" / "other")


def test_file_above_of_another_user_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "lakekit.toml").write_text('lake = "lake"')
    monkeypatch.setattr("os.getuid", lambda: 12345)
    own = (tmp_path / "lakekit.toml").stat().st_uid == 0
    found = read_settings({}, {}, tmp_path / "a").lake
    assert found == (str(tmp_path / "lake") if own else None)


def test_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "lakekit.toml").write_text('memory = "3GB"', encoding="utf-8-sig")
    assert read_settings({}, {}, tmp_path).memory == "3GB"


def test_tilde_is_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "lakekit.toml").write_text('source = "~/data"\nscratch = "~"')
    found = read_settings({"lake": "~/lake"}, {"LAKEKIT_TABLES": "~/t.py"}, tmp_path)
    assert (found.source, found.scratch) == ("/home/ada/data", "/home/ada")
    assert (found.lake, found.tables) == ("/home/ada/lake", "/home/ada/t.py")
    assert str(find_lake("~/lake")) == "/home/ada/lake"


@pytest.mark.parametrize(
    ("text", "what", "next_step"),
    [
        ('[lak]\na = "b"', "no setting lak ", "Did you mean lake?"),
        ('[lake]\nfolder = "b"', "lake in .* is not a text", 'lake = "..."'),
        ('lake = ["a"]', "lake in .* is not a text", 'lake = "..."'),
        ('memory = "2GiBs"', "'2GiBs' is not a size", "such as 2GB"),
    ],
)
def test_unknown_table_or_value_of_the_file_is_refused(
    text: str, what: str, next_step: str, tmp_path: Path
) -> None:
    (tmp_path / "lakekit.toml").write_text(text)
    with pytest.raises(SettingsError, match=what) as caught:
        read_settings({}, {}, tmp_path)
    assert next_step in caught.value.next_step
