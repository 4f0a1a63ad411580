"""An emulator of a Databricks workspace that executes jobs on this machine. README.md
lists the emulated features.
"""
