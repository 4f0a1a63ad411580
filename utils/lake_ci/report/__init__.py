"""Pure functions that turn results into text."""
