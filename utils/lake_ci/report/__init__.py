"""Converts results to reports. Its functions are pure: they only return text."""
