"""Source files: found, opened and checked."""
