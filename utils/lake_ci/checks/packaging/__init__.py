"""Builds and checks the wheel and the sdist."""
