"""Programs that run in a cluster's environment, with only the standard library and
PySpark.
"""
