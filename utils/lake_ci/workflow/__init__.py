"""Generates ci.yml from the declared jobs, and checks it."""
