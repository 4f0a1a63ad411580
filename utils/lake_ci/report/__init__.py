"""Converts results to reports. All functions are pure: they only return text."""
