"""Defines the data types of the whole suite: jobs, events and results."""
