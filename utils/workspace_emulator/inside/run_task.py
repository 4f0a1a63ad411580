"""Runs one task in its cluster's environment, where the emulator is not installed.

    python run_task.py task.json

task.json defines the program: an entry point of an installed package, or a script. If
the task fails, this script writes the error to the file `result`. The script requests
Spark from the emulator over the inherited socket `control`. A closed socket means that
the emulator has ended; then this process and all processes that it has started end.
"""

import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import json
import os
import queue
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Control:
    """The connection to the emulator."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        os.set_inheritable(number, False)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, question: str) -> dict[str, Any]:
        self._socket.sendall(question.encode() + b"\n")
        return self._answers.get()

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                self._answers.put(json.loads(line))
        os.killpg(0, signal.SIGKILL)


class SparkOnImport(importlib.abc.MetaPathFinder):
    """Connects to the workspace's Spark when PySpark is first imported, so that a
    session exists, as on Databricks.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name != "pyspark":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            execute = loader.exec_module

            def then_attach(module: ModuleType) -> None:
                execute(module)
                attach(self._control.ask("spark"))

            # Patch only the loader of this import, so that later imports of PySpark are
            # not affected.
            loader.exec_module = then_attach  # type: ignore[method-assign]  # its own
        return spec


def attach(answer: dict[str, Any]) -> None:
    """Create the Spark session of this task. Settings and temporary views belong to
    this task. Tables are shared by all tasks.
    """
    if "error" in answer:
        raise RuntimeError(answer["error"])
    os.environ["PYSPARK_GATEWAY_PORT"] = str(answer["port"])
    os.environ["PYSPARK_GATEWAY_SECRET"] = answer["secret"]
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()
    java = (
        gateway.jvm.org.apache.spark.sql.SparkSession.builder()
        .getOrCreate()
        .newSession()
    )
    java_context = gateway.jvm.org.apache.spark.api.java.JavaSparkContext(
        java.sparkContext()
    )
    conf = SparkConf(_jvm=gateway.jvm, _jconf=java_context.getConf())
    context = SparkContext(gateway=gateway, jsc=java_context, conf=conf)
    session = SparkSession(context, java)
    for name, value in answer.get("conf", {}).items():
        session.conf.set(name, value)


def call(task: dict[str, Any]) -> None:
    """Run the task's script as `__main__`, or call its entry point."""
    if "file" in task:
        sys.argv = [task["file"], *task["parameters"]]
        sys.path.insert(0, os.path.dirname(task["file"]))
        runpy.run_path(task["file"], run_name="__main__")
        return
    sys.argv = [task["entry_point"], *task["parameters"]]
    distribution = importlib.metadata.distribution(task["package"])
    for entry_point in distribution.entry_points:
        if entry_point.name == task["entry_point"]:
            entry_point.load()()
            return
    module = importlib.import_module(task["package"].replace("-", "_"))
    getattr(module, task["entry_point"])()


def run(task: dict[str, Any]) -> int:
    """Run the task and return the exit code. A task that raises SystemExit with 0 or
    None succeeds. A task that raises SystemExit with a different value fails.
    """
    try:
        call(task)
    except SystemExit as error:
        if error.code in (None, 0):
            return 0
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else 1
        failed = {
            "error": f"SystemExit: {error.code}",
            "error_trace": traceback.format_exc(),
        }
    except (Exception, KeyboardInterrupt) as error:
        code = 1
        failed = {
            "error": f"{type(error).__name__}: {error}",
            "error_trace": traceback.format_exc(),
        }
        traceback.print_exc()
    else:
        return 0
    with open(task["result"], "w", encoding="utf-8") as opened:
        json.dump(failed, opened)
    return code


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as opened_task:
        description = json.load(opened_task)
    sys.meta_path.insert(0, SparkOnImport(Control(description["control"])))
    sys.exit(run(description))
