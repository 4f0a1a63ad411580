"""Processes, signals, files, git, interpreters and environment variables."""
