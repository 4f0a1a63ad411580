"""Routes of the libraries API."""

from __future__ import annotations

from ..routing import Answer, Call, Route
from .state import Libraries


def routes(libraries: Libraries) -> list[Route]:
    def install(call: Call) -> Answer:
        libraries.install(call.text("cluster_id"), call.items("libraries"))
        return {}

    def uninstall(call: Call) -> Answer:
        libraries.uninstall(call.text("cluster_id"), call.items("libraries"))
        return {}

    def status(call: Call) -> Answer:
        cluster_id = call.text("cluster_id")
        return {
            "cluster_id": cluster_id,
            "library_statuses": libraries.statuses(cluster_id),
        }

    def all_statuses(call: Call) -> Answer:
        return {"statuses": libraries.all_statuses()}

    base = "/api/2.0/libraries"
    return [
        Route("POST", f"{base}/install", install),
        Route("POST", f"{base}/uninstall", uninstall),
        Route("GET", f"{base}/cluster-status", status),
        Route("GET", f"{base}/all-cluster-statuses", all_statuses),
    ]
