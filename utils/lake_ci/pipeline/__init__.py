"""Runs the jobs of an event, and writes the reports of the run."""
