"""Runs a job as a nox session, and defines what a check is."""
