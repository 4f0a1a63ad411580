"""Runs pytest with coverage, and provides the Java that the tests need."""
