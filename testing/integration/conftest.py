"""One Spark with Delta for all tests of a run, started from jar files: no test resolves or downloads anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator, List

import pytest
from pyspark.sql import SparkSession

# databricks-sdk and the emulator are for Python 3.10 and up.
collect_ignore = ["emulator"] if sys.version_info < (3, 10) else []
SAMPLE = Path(__file__).parents[1] / "data"
LONG_ON = {("3.9", "11"), ("3.11", "17")}
"""The oldest and the newest Python and Java: where the long tests run in the matrix. By hand they run anywhere."""


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Skip, and say so, the long tests in the middle of the matrix: eight minutes each time."""
    python, java = f"{sys.version_info.major}.{sys.version_info.minor}", os.environ.get("LAKE_CI_JAVA", "")
    if not java or (python, java) in LONG_ON:
        return
    where = " and ".join(f"Python {p} with Java {j}" for p, j in sorted(LONG_ON))
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason=f"long: runs on {where}"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for what lakekit keeps between runs: not the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the sample's source files."""
    return SAMPLE


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Spark 3.5 with Delta on the Java of JAVA_HOME. The JVM's own time zone is not UTC: only the session's is."""
    jars = os.environ.get("LAKE_CI_JARS")
    if not jars:
        pytest.fail("LAKE_CI_JARS names no folder of jars: run these tests by `nox -s tests`", pytrace=False)
    folder = tmp_path_factory.mktemp("spark")
    # Small queries end before the second compiler pays; the zone shows a use of the JVM's instead of the session's.
    java = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=America/New_York -Dderby.system.home={folder}"
    settings = {
        "spark.jars": ",".join(str(jar) for jar in sorted(Path(jars).glob("*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": java,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # a VACUUM would make 10,000 tasks
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("lakekit")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
