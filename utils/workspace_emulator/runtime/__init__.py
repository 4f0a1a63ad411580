"""The runtime of clusters: Python environments, processes and Spark."""
