"""Benchmarks of two trees, and what their difference says."""
