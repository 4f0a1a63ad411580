"""Workspace files and notebooks: `/api/2.0/workspace`."""
