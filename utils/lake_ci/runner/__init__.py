"""A job as a nox session: what the session gets, and what a check is."""
