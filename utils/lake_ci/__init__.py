"""The CI suite: jobs declared once, run alike on a laptop and on GitHub."""
