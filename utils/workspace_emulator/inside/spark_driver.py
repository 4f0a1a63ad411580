"""Runs Spark's JVM for the emulator. Prints the address for clients as one line of
JSON, and ends when standard input is closed.
"""

import json
import sys

from pyspark import SparkConf
from pyspark.sql import SparkSession


def main(settings_file: str) -> None:
    with open(settings_file, encoding="utf-8") as opened:
        settings = json.load(opened)
    session = SparkSession.builder.config(
        conf=SparkConf().setAll(list(settings.items()))
    ).getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    # Open the metastore now, so that an error appears at the start and not in a task.
    session.sql("SHOW SCHEMAS").first()
    gateway = session.sparkContext._gateway.gateway_parameters
    print(json.dumps({"port": gateway.port, "secret": gateway.auth_token}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
