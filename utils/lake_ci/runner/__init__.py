"""Runs a job as a nox session, and defines the class of checks."""
