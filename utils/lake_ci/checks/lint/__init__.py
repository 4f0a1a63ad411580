"""Style, types and locks."""
