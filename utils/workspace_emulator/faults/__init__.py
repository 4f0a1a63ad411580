"""Fault injection, the record of requests, and the admin routes for both."""
