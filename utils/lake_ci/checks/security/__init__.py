"""Packages, code and secrets."""
