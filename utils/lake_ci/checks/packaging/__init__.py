"""Builds and checks of the wheel and the sdist."""
