"""Contains the checks of the wheel and the sdist."""
