"""Tests Spark with Delta in tasks: a session exists, and tasks of all clusters share
the tables.
"""

from __future__ import annotations

import os

import pytest
from databricks.sdk import WorkspaceClient

from testing.integration.workspace_emulator.execution import (
    output,
    run,
    script,
    script_task,
)
from workspace_emulator.launch import Emulator

WRITE = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.getActiveSession()
spark.sql("CREATE SCHEMA IF NOT EXISTS spark_catalog.flights")
spark.read.csv(sys.argv[1], header=True).createOrReplaceTempView("given")
spark.sql(
    "CREATE TABLE IF NOT EXISTS spark_catalog.flights.days AS SELECT * FROM given"
)
detail = spark.sql("DESCRIBE DETAIL spark_catalog.flights.days").first()
print(detail.format, spark.conf.get("spark.sql.session.timeZone"))
"""
READ = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
spark = SparkSession.builder.getOrCreate()
double = udf(lambda text: text * 2)
days = spark.table("spark_catalog.flights.days").select(double("day"))
print([row[0] for row in days.collect()])
print(spark.catalog.tableExists("given"))
"""


@pytest.mark.skipif(
    "LAKE_CI_JARS" not in os.environ,
    reason="LAKE_CI_JARS names no jars: run by `nox -s tests`",
)
def test_a_table_of_one_task_is_read_by_another(
    emulator: Emulator, sdk: WorkspaceClient, cluster: str, volume: str
) -> None:
    sdk.dbfs.put("/days.csv", contents="ZGF5Cm1vbgp0dWUK")
    written = output(
        sdk,
        run(
            sdk, script_task(cluster, script(sdk, "write.py", WRITE), "dbfs:/days.csv")
        ),
    )
    assert written.logs == "delta UTC\n", written
    read = output(sdk, run(sdk, script_task(cluster, script(sdk, "read.py", READ))))
    assert (read.logs or "").splitlines() == ["['monmon', 'tuetue']", "False"], read
    log = emulator.state / "spark" / "warehouse" / "flights.db" / "days" / "_delta_log"
    assert [each.name for each in log.glob("*.json")] == ["00000000000000000000.json"]
