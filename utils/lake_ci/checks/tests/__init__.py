"""Runs of pytest with coverage, and the Java that the tests need."""
