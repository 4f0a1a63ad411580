"""A Databricks workspace on this machine that really executes; see README.md for what
it serves and what not.
"""
