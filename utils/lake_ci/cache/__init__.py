"""Results of earlier runs: what a session reads, and whether it may be reused."""
