"""Injects faults, records requests, and defines the admin routes for both."""
