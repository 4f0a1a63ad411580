"""Caches the results of sessions: fingerprints, the store, and the lookup."""
