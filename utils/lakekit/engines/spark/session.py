"""The Spark session, existing or created for one machine, and the settings that
lakekit's SQL requires.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional

from pyspark import SparkContext
from pyspark.sql import SparkSession

from lakekit.errors import InvalidLakeError, MissingExtraError
from lakekit.storage.lake import Lake

JARS = "LAKEKIT_JARS"
"""The environment variable with a folder of the jars that Delta needs. Without it,
Spark downloads the jars of the installed delta-spark.
"""
SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # An invalid date is null, as in the embedded engine. In ANSI mode the query fails.
    "spark.sql.ansi.enabled": "false",
    # Spark's default INT96 has no time zone and no statistics.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Otherwise Spark cannot read source files with nanoseconds, which pandas writes.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # A row is malformed independently of the columns that a query reads.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # A replacement of the whole content replaces all partitions.
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
}
"""Settings of the session while the engine is open, even if a caller owns the session.
Spark Connect (serverless compute) rejects some of them.
"""
LOG_STORES = ("spark.delta.logStore.s3a.impl", "spark.delta.logStore.s3.impl")


def on_databricks() -> bool:
    """Return whether this is a Databricks runtime, whose SQL and log store support more
    than open source Spark.
    """
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def check_place(lake: Lake, session: SparkSession) -> None:
    """Reject a lake on S3 if two writers could write the same version of a Delta log.
    Raises InvalidLakeError.
    """
    if lake.kind != "s3" or on_databricks():
        return
    if not any(session.conf.get(name, None) for name in LOG_STORES):
        raise InvalidLakeError(
            f"The lake {lake} is on S3, where Spark without a log store lets two"
            " writers write the same version",
            "Use --engine embedded,"
            f" or set {LOG_STORES[0]} to a log store with put-if-absent.",
        )


@contextmanager
def spark_session(
    scratch: Path, given: Optional[SparkSession] = None
) -> Iterator[SparkSession]:
    """Yield the given session, or the active session (which always exists on
    Databricks), or a new session.

    A new session is stopped afterwards with its JVM; the settings of other sessions are
    restored.
    """
    session, own = given or SparkSession.getActiveSession(), False
    if session is None:
        session, own = _start(scratch), True
    before: Dict[str, Optional[str]] = {
        name: session.conf.get(name, None) for name in SETTINGS
    }
    try:
        for name, value in SETTINGS.items():
            session.conf.set(name, value)
        yield session
    finally:
        if own:
            _stop(session)
        else:
            for name, was in before.items():
                restore(session, name, was)


def restore(session: SparkSession, name: str, value: Optional[str]) -> None:
    """Restore a setting to its previous value."""
    if value is None:
        session.conf.unset(name)
    else:
        session.conf.set(name, value)


def _start(scratch: Path) -> SparkSession:
    cores = str(os.cpu_count() or 2)
    log = scratch / "log4j2.properties"
    log.parent.mkdir(parents=True, exist_ok=True)
    # Errors are raised, so Spark does not also log them.
    log.write_text("rootLogger.level = off\n")
    java = (
        f"-XX:+UseSerialGC -Dlog4j2.configurationFile={log.as_uri()}"
        f" -Dderby.system.home={scratch}"
    )
    settings = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": (
            "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        ),
        "spark.driver.extraJavaOptions": java,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # The defaults are 50, 200 and 10,000 tasks of some milliseconds: a first write
        # took 18 s, a VACUUM two minutes.
        "spark.databricks.delta.snapshotPartitions": cores,
        "spark.sql.shuffle.partitions": cores,
        "spark.default.parallelism": cores,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": cores,
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[*]").appName("lakekit")
    for name, value in settings.items():
        builder = builder.config(name, value)
    folder = os.environ.get(JARS)
    if folder:
        jars = sorted(str(jar) for jar in Path(folder).glob("*.jar"))
        return builder.config("spark.jars", ",".join(jars)).getOrCreate()
    try:
        from delta import configure_spark_with_delta_pip
    except ModuleNotFoundError as error:
        raise MissingExtraError("delta-spark", "spark") from error
    session: SparkSession = configure_spark_with_delta_pip(builder).getOrCreate()
    return session


def _stop(session: SparkSession) -> None:
    """Stop Spark and the JVM that was started for it, which PySpark otherwise stops
    only when Python exits.
    """
    session.stop()
    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if gateway is None or process is None:
        return
    gateway.shutdown()
    process.stdin.close()  # PySpark's JVM exits when its standard input is closed
    process.wait()
    SparkContext._gateway = SparkContext._jvm = None
