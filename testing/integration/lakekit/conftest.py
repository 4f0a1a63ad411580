"""Fixtures for tests with Spark. All tests of a run share one Spark session with Delta.
Spark is started from jar files, so that no test resolves or downloads packages.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAMPLE = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let lakekit use a temporary cache folder instead of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """Return the folder with the source files of the sample."""
    return SAMPLE


def spark_settings(jars: Path, folder: Path) -> Dict[str, str]:
    """Return settings for a small Spark that loads Delta from these jars, and stores
    its data in the folder.
    """
    # Small queries end before the JVM's optimizing compiler would save time. The time
    # zones of the JVM and of the session differ, so that a test fails if code uses the
    # time zone of the JVM.
    java = (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Ddelta.log.cacheSize=3 "
        f"-Duser.timezone=America/New_York -Dderby.system.home={folder}"
    )
    return {
        "spark.jars": ",".join(str(jar) for jar in sorted(jars.glob("*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": (
            "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        ),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": java,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # Settings for tables of a few rows: one task per table, no compression, and
        # only a few logs in memory.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.sql.parquet.compression.codec": "uncompressed",
        "spark.shuffle.compress": "false",
        "spark.shuffle.spill.compress": "false",
        "spark.rdd.compress": "false",
        # By default, a VACUUM would start 10,000 tasks.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Start Spark 3.5 with Delta, on the Java in JAVA_HOME. The time zone of the
    session is UTC, but the time zone of the JVM is not.
    """
    jars = os.environ.get("LAKE_CI_JARS")
    if not jars:
        pytest.fail(
            "LAKE_CI_JARS names no folder of jars: run these tests by `nox -s tests`",
            pytrace=False,
        )
    # Import here, because the import takes half a second, and tests without Spark do
    # not need it.
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").appName("lakekit")
    for key, value in spark_settings(Path(jars), folder).items():
        builder = builder.config(key, value)
    if os.environ.get("LAKE_CI_JAVA") != "11":
        # Small queries are 20 % faster without Spark's code generation. Code generation
        # stays enabled on Java 11, so that the test matrix covers both settings.
        builder = builder.config("spark.sql.codegen.wholeStage", "false")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
