"""ci.yml: made from the declared jobs, and checked."""
