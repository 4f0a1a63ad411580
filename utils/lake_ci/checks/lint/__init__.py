"""Checks the Python code: style, types, imports and lock files."""
