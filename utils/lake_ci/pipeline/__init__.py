"""Runs the graph of jobs, and reports the run."""
