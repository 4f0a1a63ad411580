"""The Spark session: the one there is, or one for a single machine; and the settings
that lakekit's SQL relies on.
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
"""Names a folder of the jars that Delta needs; without it Spark fetches those of the
installed delta-spark.
"""
SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # A date that does not exist is null, as on the embedded engine; ANSI mode has it
    # end the query.
    "spark.sql.ansi.enabled": "false",
    # Spark's own INT96 has no zone and no statistics.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Otherwise a source file with nanoseconds, which pandas writes, cannot be read at
    # all.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # A row is malformed whichever of its columns a query asks for.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # A whole content replaces all partitions.
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
}
"""In force while the engine is open, whoever's the session is. Spark Connect
(serverless compute) refuses some.
"""
LOG_STORES = ("spark.delta.logStore.s3a.impl", "spark.delta.logStore.s3.impl")


def on_databricks() -> bool:
    """Whether this is a Databricks runtime, whose SQL and log store go further than
    Spark's own.
    """
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def check_place(lake: Lake, session: SparkSession) -> None:
    """Refuse a lake on S3 where two writers can both write the same version of a Delta
    log. Raises InvalidLakeError.
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
    """The session given, else the active one (on Databricks there always is one), else
    one of our own, which is stopped afterwards with its JVM. Settings are put back.
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
    """Put a setting back to what it was."""
    if value is None:
        session.conf.unset(name)
    else:
        session.conf.set(name, value)


def _start(scratch: Path) -> SparkSession:
    cores = str(os.cpu_count() or 2)
    log = scratch / "log4j2.properties"
    log.parent.mkdir(parents=True, exist_ok=True)
    # What goes wrong is raised, and said once.
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
        # By default 50, 200 and 10,000 tasks, each some milliseconds: a first write
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
    """Stop Spark and the JVM that was started for it, which PySpark otherwise keeps
    until Python ends.
    """
    session.stop()
    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if gateway is None or process is None:
        return
    gateway.shutdown()
    process.stdin.close()  # PySpark's JVM ends when its standard input does
    process.wait()
    SparkContext._gateway = SparkContext._jvm = None
