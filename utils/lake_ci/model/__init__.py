"""Defines the data types that the whole suite uses: jobs, events and results."""
