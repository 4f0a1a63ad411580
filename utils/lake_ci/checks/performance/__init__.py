"""Benchmarks that compare the tree with an earlier commit."""
