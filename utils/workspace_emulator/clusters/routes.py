"""Routes of the clusters API."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import invalid_parameter
from ..routing import Answer, Call, Route
from ..runtime.release import NAME, NODE_TYPE, SPARK_VERSION
from .state import Clusters


def routes(clusters: Clusters) -> list[Route]:
    def create(call: Call) -> Answer:
        if not call.text("cluster_name", ""):
            raise invalid_parameter("Missing required field: cluster_name")
        return {"cluster_id": clusters.create(call.fields)["cluster_id"]}

    def get(call: Call) -> Answer:
        return clusters.get(call.text("cluster_id"))

    def list_(call: Call) -> Answer:
        return {"clusters": clusters.all()}

    def action(act: Callable[[str], None]) -> Callable[[Call], Answer]:
        def handler(call: Call) -> Answer:
            act(call.text("cluster_id"))
            return {}

        return handler

    def versions(call: Call) -> Answer:
        return {"versions": [{"key": SPARK_VERSION, "name": NAME}]}

    def node_types(call: Call) -> Answer:
        return {"node_types": [NODE_TYPE]}

    found = []
    for base in ("/api/2.0/clusters", "/api/2.1/clusters"):
        found += [
            Route("POST", f"{base}/create", create),
            Route("GET", f"{base}/get", get),
            Route("GET", f"{base}/list", list_),
            Route("POST", f"{base}/start", action(clusters.start)),
            Route("POST", f"{base}/restart", action(clusters.restart)),
            Route("POST", f"{base}/delete", action(clusters.delete)),
            Route(
                "POST", f"{base}/permanent-delete", action(clusters.permanent_delete)
            ),
            Route("GET", f"{base}/spark-versions", versions),
            Route("GET", f"{base}/list-node-types", node_types),
        ]
    return found
