"""Converts results to text by pure functions."""
