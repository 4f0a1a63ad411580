"""Runs the workspace's Spark: one JVM and one metastore on disk for all clusters. The
JVM starts when the first task requests Spark.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from .environment import Environment, InstallError, Template

DRIVER = Path(__file__).resolve().parents[1] / "inside" / "spark_driver.py"
START_SECONDS = 120


class SparkUnavailableError(Exception):
    """Spark could not be started. The message is the reason."""


class Spark:
    """Manages Spark's JVM. Tasks connect to the JVM with the port and the secret of the
    JVM's gateway.

    All clusters of a workspace share the tables, and therefore the metastore. The
    metastore is a Derby database, and only one process at a time can use it. Therefore
    all clusters share one JVM.
    """

    def __init__(self, folder: Path, jars: Path | None, template: Template) -> None:
        self._folder = folder
        self._jars = jars
        self._template = template
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._gateway: dict[str, Any] = {}

    async def gateway(self) -> dict[str, Any]:
        """Return the address of the JVM's gateway as `{"port": ..., "secret": ...}`.
        Starts the JVM if it is not running. Raises SparkUnavailableError.
        """
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._gateway = await self._start()
            return self._gateway

    async def stop(self) -> None:
        """Stop the JVM. The JVM also ends if the emulator ends without this call,
        because the JVM's standard input is then closed.
        """
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()

    async def _start(self) -> dict[str, Any]:
        jars = sorted(self._jars.glob("*.jar")) if self._jars else []
        if not jars:
            raise SparkUnavailableError(
                "Delta's jars are missing. Set --jars or LAKE_CI_JARS to a folder with"
                " the jars of requirements/jars.txt, and restart the emulator"
            )
        environment = Environment(self._folder / "environment")
        try:
            await environment.make(self._template)
        except InstallError as error:
            raise SparkUnavailableError(str(error)) from None
        settings = self._folder / "settings.json"
        settings.write_text(
            json.dumps(self._settings([str(jar) for jar in jars])), encoding="utf-8"
        )
        log = self._folder / "driver.log"
        with log.open("wb") as stderr:
            self._process = process = await asyncio.create_subprocess_exec(
                str(environment.python),
                str(DRIVER),
                str(settings),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                cwd=self._folder,
                env={
                    "PATH": os.defpath,
                    "HOME": str(self._folder),
                    "JAVA_HOME": str(environment.java_home),
                    "SPARK_LOCAL_HOSTNAME": "localhost",
                },
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        except asyncio.TimeoutError:
            line = b""
        if not line:
            await self.stop()
            said_last = (
                log.read_text(encoding="utf-8", errors="replace")
                .strip()
                .splitlines()[-5:]
            )
            raise SparkUnavailableError("\n".join(["Spark did not start:", *said_last]))
        gateway: dict[str, Any] = json.loads(line)
        return gateway

    def _settings(self, jars: list[str]) -> dict[str, str]:
        cores = str(os.cpu_count() or 2)
        # Disable the JVM's optimizing compiler (C2). Queries on small data end before
        # C2 would save time.
        java = (
            "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
            f" -Dderby.system.home={self._folder} -Duser.timezone=UTC"
        )
        return {
            "spark.master": "local[*]",
            "spark.app.name": "workspace",
            "spark.driver.extraClassPath": os.pathsep.join(jars),
            "spark.driver.extraJavaOptions": java,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self._folder / "local"),
            # Store the table names on disk, so that tables survive a restart.
            "spark.sql.catalogImplementation": "hive",
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
            "spark.hadoop.javax.jdo.option.ConnectionURL": (
                f"jdbc:derby:;databaseName={self._folder}/metastore;create=true"
            ),
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": (
                "org.apache.spark.sql.delta.catalog.DeltaCatalog"
            ),
            # As on Databricks, tables are Delta tables by default, and times are in
            # UTC.
            "spark.sql.sources.default": "delta",
            "spark.sql.legacy.createHiveTableByDefault": "false",
            "spark.sql.session.timeZone": "UTC",
            # Spark's defaults are for large clusters: they start 50, 200 or 10,000
            # tasks, and each task takes some milliseconds.
            "spark.databricks.delta.snapshotPartitions": cores,
            "spark.sql.shuffle.partitions": cores,
            "spark.default.parallelism": cores,
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": cores,
        }
