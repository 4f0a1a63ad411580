"""Accesses the system: processes, signals, files, git, interpreters and variables."""
