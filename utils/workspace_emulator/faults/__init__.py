"""Faults by request, the record of requests, and the admin's routes to both."""
