"""Tests which locations Spark may use for a lake."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import pytest

from lakekit.engines.open import open_engine
from lakekit.errors import InvalidLakeError, JavaError
from lakekit.storage.lake import Lake, find_lake
from lakekit.template.tables import TABLES


def session(settings: Dict[str, str]) -> Any:
    return SimpleNamespace(conf=settings)


def test_bucket_needs_a_log_store_outside_databricks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lakekit.engines.spark.session import check_place

    bucket = Lake("s3", "s3://bucket")
    with pytest.raises(InvalidLakeError, match="s3://bucket is on S3"):
        check_place(bucket, session({}))
    check_place(
        bucket,
        session(
            {"spark.delta.logStore.s3a.impl": "io.delta.storage.S3DynamoDBLogStore"}
        ),
    )
    check_place(Lake("folder", "/lake"), session({}))
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "14.3")
    check_place(bucket, session({}))


@pytest.mark.parametrize(
    ("home", "jars", "what"),
    [
        ("", "", "JAVA_HOME is not set, and no java is on PATH"),
        ("/nowhere", "", "JAVA_HOME=/nowhere has no bin/java"),
        ("JAVA", "EMPTY", "LAKEKIT_JARS=.* has no jars"),
    ],
)
def test_spark_without_java_or_jars_names_what_is_missing(
    home: str, jars: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", home.replace("JAVA", str(tmp_path / "java")))
    monkeypatch.setenv("LAKEKIT_JARS", jars.replace("EMPTY", str(tmp_path)))
    lake = find_lake(tmp_path / "lake")
    with pytest.raises(JavaError, match=what) as caught:
        open_engine("spark", lake, TABLES, tmp_path / "scratch")
    assert caught.value.exit_code == 3 and caught.value.next_step
