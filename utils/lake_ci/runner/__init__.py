"""Runs jobs as nox sessions, and defines the base class of checks."""
