"""Security scans of packages, code and secrets."""
