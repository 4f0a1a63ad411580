"""Computes the rows of each layer from the rows of the previous layer."""
