"""Contains the security scans of packages, code and secrets."""
