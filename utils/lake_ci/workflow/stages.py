"""Creates the stages with all checks of the GitHub workflow."""

from __future__ import annotations

from lake_ci.model.job import Graph
from lake_ci.runner.check import Check
from lake_ci.workflow.checks import Actionlint, Schema, Sessions, Zizmor
from lake_ci.workflow.workflow import InSync


def checks(graph: Graph) -> list[Check]:
    """Return the checks of ci.yml: it must match the graph and be valid."""
    return [InSync(graph), Schema(), Actionlint(), Zizmor(), Sessions(graph)]
