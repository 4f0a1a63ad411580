from __future__ import annotations

from lakekit_api.metrics import Metrics


def test_answers_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.answered("GET", "/tables", status, 0.003)
    text = metrics.text().decode()
    assert (
        'lakekit_api_requests_total{method="GET",route="/tables",status="200"} 2.0'
        in text
    )
    assert 'lakekit_api_request_seconds_bucket{le="0.0025",route="/tables"} 0.0' in text
    assert 'lakekit_api_request_seconds_bucket{le="0.005",route="/tables"} 3.0' in text


def test_methods_that_callers_make_up_are_one_label() -> None:
    metrics = Metrics()
    for method in ("BREW", "WHEN"):
        metrics.answered(method, "none", 405, 0.001)
    assert 'method="other",route="none",status="405"} 2.0' in metrics.text().decode()


def test_applications_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.in_hand.inc()
    assert "lakekit_api_requests_in_hand 0.0" in other.text().decode()
