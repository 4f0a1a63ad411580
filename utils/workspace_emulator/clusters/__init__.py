"""Clusters: `/api/2.0/clusters` and `/api/2.1/clusters`."""
