"""Prometheus metrics for /metrics. Every label has a limited set of values: the routes,
the known HTTP methods, or the HTTP statuses.
"""

from __future__ import annotations

from functools import partial
from typing import Dict, Tuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one application. Each application has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._requests = counter(
            "lakekit_api_requests", "Requests answered", ["method", "route", "status"]
        )
        self._seconds = Histogram(
            "lakekit_api_request_seconds",
            "Time to the response",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.refused = counter(
            "lakekit_api_refused",
            "Requests refused because they were too large, too slow or invalid HTTP",
            ["status"],
        )
        self.in_hand = gauge("lakekit_api_requests_in_hand", "Requests in progress")
        self.pages = counter(
            "lakekit_api_pages",
            "Pages returned, from the cache or from a query",
            ["source"],
        )
        self.version = gauge(
            "lakekit_api_table_version",
            "Newest Delta version that the service has loaded",
            ["table"],
        )
        self.rows = gauge("lakekit_api_table_rows", "Rows of that version", ["table"])
        self.stale = gauge(
            "lakekit_api_table_stale_seconds",
            "Age of the version that is served while the table cannot be read",
            ["table"],
        )
        self.failed_looks = counter(
            "lakekit_api_failed_looks",
            "Failed attempts to read a table",
            ["table"],
        )
        self.log_lines_dropped = gauge(
            "lakekit_api_log_lines_dropped",
            "Log lines dropped since the start because nobody read them",
        )
        self._children: Dict[Tuple[str, str, int], Tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        key = (method if method in METHODS else "other", route, status)
        if key not in self._children:
            counter = self._requests.labels(key[0], route, str(status))
            self._children[key] = (counter, self._seconds.labels(route))
        counter, histogram = self._children[key]
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
