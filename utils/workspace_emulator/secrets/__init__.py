"""Secrets: `/api/2.0/secrets`."""
