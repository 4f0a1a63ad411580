"""Plugins for pytest, which run on the Python of the tests and import no lake_ci."""
