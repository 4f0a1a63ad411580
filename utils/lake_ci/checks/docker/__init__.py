"""Checks the container images: lint, build, contents, size and smoke tests."""
