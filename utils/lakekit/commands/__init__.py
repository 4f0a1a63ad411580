"""The commands of lakekit, as Python functions."""
