"""Measures how long it takes to create the plan and the workflow text for many
generated jobs. Shows whether the time is proportional to the number of jobs.

    python testing/performance/bench_plan.py
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "utils"))

from lake_ci.model.events import Event, select
from lake_ci.model.job import Graph, Job
from lake_ci.pipeline import plan
from lake_ci.pipeline.durations import Durations
from lake_ci.runner.run import Run
from lake_ci.workflow import workflow

REPEAT = 5


def jobs(number: int) -> Graph:
    """Return a graph of `number` jobs. Each job needs up to three earlier jobs. Every
    tenth job has a matrix with six entries.
    """

    def session(run: Run) -> None:
        """Do nothing."""

    graph = Graph()
    for index in range(number):
        needs = tuple(
            f"job{before}"
            for before in (index // 2, index - 1, index - 7)
            if 0 <= before < index
        )
        matrix = index % 10 == 0
        pythons, javas = (("3.9", "3.10", "3.11"), ("11", "17")) if matrix else ((), ())
        graph.add(
            Job(
                f"job{index}",
                session,
                needs=tuple(dict.fromkeys(needs)),
                pythons=pythons,
                javas=javas,
            )
        )
    return graph


def seconds(number: int) -> float:
    """Return the median number of seconds to declare, plan and render `number` jobs."""
    taken = []
    for _ in range(REPEAT):
        start = time.perf_counter()
        graph = jobs(number)
        chosen = select(graph, Event("push", "main"))
        times = Durations(dict.fromkeys(chosen.sessions, 1.0), frozenset())
        assert (
            plan.as_text(chosen, times)
            and plan.as_json(chosen, times)
            and plan.as_mermaid(chosen, graph)
        )
        assert workflow.render(graph)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    print(f"{'jobs':>6} {'seconds':>9} {'each (ms)':>10}")
    for number in (1000, 2000, 4000):
        taken = seconds(number)
        print(f"{number:>6} {taken:>9.3f} {1000 * taken / number:>10.3f}")


if __name__ == "__main__":
    main()
