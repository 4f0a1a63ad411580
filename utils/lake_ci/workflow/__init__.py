"""Generates ci.yml from the declared jobs, and checks the file."""
