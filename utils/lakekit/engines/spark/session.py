"""Provides a Spark session that has the settings that lakekit's SQL requires. If no
session exists, one is created for this machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional

from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakekit.errors import InvalidLakeError, JavaError, MissingExtraError
from lakekit.storage.lake import Lake

JARS = "LAKEKIT_JARS"
"""The environment variable with the path of the folder that contains Delta's jars. If
the variable is not set, Spark downloads the jars that the installed delta-spark needs.
"""
SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # An invalid date is null, as in the embedded engine. In ANSI mode, a query would
    # fail at an invalid date.
    "spark.sql.ansi.enabled": "false",
    # Spark's default type for timestamps, INT96, has no time zone and no statistics.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Without this setting, Spark cannot read the timestamps in nanoseconds that pandas
    # writes.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # Whether a row is malformed must not depend on the columns that a query reads.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # A write that replaces all rows must also replace the partitions that get no new
    # rows.
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
}
"""Settings of the session while the engine is open, even if the caller created the
session.

Spark Connect (serverless compute) rejects some of these settings.
"""
LOG_STORES = ("spark.delta.logStore.s3a.impl", "spark.delta.logStore.s3.impl")


def on_databricks() -> bool:
    """Return whether this is a Databricks runtime. The SQL and the log store of
    Databricks have more features than those of open source Spark.
    """
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def check_place(lake: Lake, session: SparkSession) -> None:
    """Raise InvalidLakeError for a lake on S3 if two writers could write the same
    version of a Delta log.
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
    """Yield a Spark session: the given session, or the active session (Databricks
    always has one), or a new session.

    Afterwards, a new session and its JVM are stopped. For any other session, the
    previous settings are restored.
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
    """Set a setting to its previous value. Remove the setting if it had no value."""
    if value is None:
        session.conf.unset(name)
    else:
        session.conf.set(name, value)


def _start(scratch: Path) -> SparkSession:
    cores = str(os.cpu_count() or 2)
    log = scratch / "log4j2.properties"
    log.parent.mkdir(parents=True, exist_ok=True)
    # lakekit raises errors, so Spark need not log them.
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
        # The defaults of these settings are 50, 200 and 10,000 tasks, which take some
        # milliseconds each. With these defaults, a first write took 18 s, and a VACUUM
        # took two minutes.
        "spark.databricks.delta.snapshotPartitions": cores,
        "spark.sql.shuffle.partitions": cores,
        "spark.default.parallelism": cores,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": cores,
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[*]").appName("lakekit")
    for name, value in settings.items():
        builder = builder.config(name, value)
    _check_java()
    folder = os.environ.get(JARS)
    if folder:
        builder = builder.config("spark.jars", ",".join(_jars(Path(folder))))
    else:
        try:
            from delta import configure_spark_with_delta_pip
        except ModuleNotFoundError as error:
            raise MissingExtraError("delta-spark", "spark") from error
        builder = configure_spark_with_delta_pip(builder)
    try:
        session: SparkSession = builder.getOrCreate()
    except PySparkException as error:
        raise _not_started(str(error), folder) from error
    return session


def _check_java() -> None:
    """Raise JavaError if Spark cannot find Java."""
    home = os.environ.get("JAVA_HOME", "")
    if home and not Path(home, "bin", "java").exists():
        what = f"Spark needs Java 11 or 17, and JAVA_HOME={home} has no bin/java"
    elif not home and shutil.which("java") is None:
        what = "Spark needs Java 11 or 17: JAVA_HOME is not set, and no java is on PATH"
    else:
        return
    raise JavaError(
        what, "Install Java 17 and set JAVA_HOME, or use --engine embedded."
    )


def _jars(folder: Path) -> List[str]:
    """Return the jars in a folder. Raises JavaError if the folder contains no jars."""
    jars = sorted(str(jar) for jar in folder.glob("*.jar"))
    if not jars:
        raise JavaError(
            f"{JARS}={folder} has no jars",
            f"Set {JARS} to the folder of Delta's jars, or unset it to download them.",
        )
    return jars


def _not_started(reason: str, folder: Optional[str]) -> JavaError:
    """Return the error for a JVM that ended before Spark was ready."""
    first = reason.strip().partition("\n")[0]
    if folder:
        return JavaError(
            f"Java ended before Spark ran: {first}",
            "Check that `java -version` prints 11 or 17, and that Java has enough"
            " memory.",
        )
    return JavaError(
        "Java ended before Spark ran, perhaps because it could not download the jars"
        f" of Delta: {first}",
        f"Check the network, or set {JARS} to a folder of the jars; check that"
        " `java -version` prints 11 or 17.",
    )


def _stop(session: SparkSession) -> None:
    """Stop Spark and its JVM. PySpark stops the JVM only when Python exits."""
    session.stop()
    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if gateway is None or process is None:
        return
    gateway.shutdown()
    process.stdin.close()  # PySpark's JVM exits when its standard input is closed
    process.wait()
    SparkContext._gateway = SparkContext._jvm = None
