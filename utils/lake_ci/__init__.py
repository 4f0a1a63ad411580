"""The CI suite: its jobs are declared once, and run alike on a laptop and on GitHub."""
