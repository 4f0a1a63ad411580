"""Runs benchmarks that compare the checkout with an earlier commit."""
