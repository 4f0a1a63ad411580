"""Finds, opens and checks source files."""
