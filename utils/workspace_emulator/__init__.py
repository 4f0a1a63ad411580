"""An emulator of a Databricks workspace that executes jobs on this machine. See
README.md for what it supports.
"""
