"""Programs that run in a cluster's environment. They use only the standard library and
PySpark.
"""
